"""Gather the records of an artefact into its tidy frame."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.aggregate import write_frame

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    plan, artefact = load_plan(snakemake.config), snakemake.wildcards.artefact
    plan.require_done(artefact)
    write_frame(plan.frame(artefact), Path(snakemake.output[0]))
