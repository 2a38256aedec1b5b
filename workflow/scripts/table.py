"""Render a table from its records."""

from pathlib import Path

from metaug.reporting.tables import Table, write_table
from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    artefact, plan = snakemake.wildcards.artefact, load_plan(snakemake.config)
    plan.require_done(artefact)
    table = plan.render(artefact, plan.results(artefact))
    assert isinstance(table, Table)
    write_table(table, Path(snakemake.output[0]).with_suffix(""))
