"""Gather all records into the tidy frame."""

from metaug.job import job
from metaug.plan import load_plan

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    load_plan(snakemake.config).write_tidy_frame()
