"""Gather the records of an artefact into its tidy frame."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.aggregate import write_frame

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    frame = load_plan(snakemake.config).frame(snakemake.wildcards.artefact)
    write_frame(frame, Path(snakemake.output[0]))
