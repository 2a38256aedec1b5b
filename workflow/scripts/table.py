"""Render a table from its records."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.tables import Table, write_table

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    artefact, plan = snakemake.wildcards.artefact, load_plan(snakemake.config)
    plan.require_done(artefact)
    table = plan.render(artefact, plan.results(artefact))
    assert isinstance(table, Table)
    write_table(table, Path(snakemake.output[0]).with_suffix(""))
