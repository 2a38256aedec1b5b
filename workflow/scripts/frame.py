"""Gather the records of an artefact into its tidy frame, and refresh the frame of all records."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.aggregate import write_frame

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    write_frame(plan.frame(snakemake.wildcards.artefact), Path(snakemake.output[0]))
    write_frame(plan.frame(), Path("results") / plan.scale.name / "trials.csv")
