"""Gather all records into the tidy frame."""

from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    load_plan(snakemake.config).write_tidy_frame()
