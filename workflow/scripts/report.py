"""Write the report of all that has been run."""

from pathlib import Path

from metaug.suite.plan import load_plan
from metaug.suite.report import write_report_of
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    plan.require_done()
    write_report_of(plan, Path(snakemake.output[0]))
    print(f"{plan.scale.name}: see {snakemake.output[0]}")
