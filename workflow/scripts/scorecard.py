"""Decide every claim of the paper."""

from pathlib import Path

from metaug.job import job
from metaug.paper.claims import decide
from metaug.plan import load_plan
from metaug.reporting.aggregate import load_frame
from metaug.reporting.scorecard import tally, write_scorecard

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    scale = load_plan(snakemake.config).scale.name
    outcomes = decide(load_frame(Path(snakemake.input[0])))
    write_scorecard(outcomes, scale, Path(snakemake.output[0]).with_suffix(""))
    print(f"{scale}: {tally(outcomes)}; see {snakemake.output[-1]}")
