"""Decide every claim of the paper."""

from pathlib import Path

from metaug.reporting.scorecard import tally, write_scorecard
from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    plan.require_done("claims")
    outcomes = plan.decide(plan.results("claims"))
    write_scorecard(outcomes, plan.scale.name, Path(snakemake.output[0]).with_suffix(""))
    print(f"{plan.scale.name}: {tally(outcomes)}; see {snakemake.output[-1]}")
