"""Print what would be trained and how long it would take."""

from metaug.estimate import print_plan
from metaug.job import job
from metaug.plan import load_plan

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    print_plan(load_plan(snakemake.config))
