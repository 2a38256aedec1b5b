"""Print what would be trained and how long it would take."""

from metaug.suite.cost import print_plan
from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    print_plan(load_plan(snakemake.config))
