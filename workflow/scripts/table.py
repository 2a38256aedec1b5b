"""Render a table from its frame."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.aggregate import load_frame
from metaug.reporting.tables import write_table

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    artefact = snakemake.wildcards.artefact
    frames = {artefact: load_frame(Path(snakemake.input[0]))}
    table = load_plan(snakemake.config).render(artefact, frames)
    write_table(table, Path(snakemake.output[0]).with_suffix(""))
