"""Render a table from its frame."""

import importlib
from pathlib import Path

from metaug.job import job
from metaug.reporting.aggregate import load_frame
from metaug.reporting.tables import write_table

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    artefact = importlib.import_module(f"metaug.paper.{snakemake.wildcards.artefact}")
    table = artefact.render(load_frame(Path(snakemake.input[0])))
    write_table(table, Path(snakemake.output[0]).with_suffix(""))
