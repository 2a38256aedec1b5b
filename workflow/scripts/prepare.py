"""Decode a data set once into memory-mapped arrays."""

from pathlib import Path

from metaug.data.prepare import prepare
from metaug.job import job
from metaug.plan import load_plan

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    config = load_plan(snakemake.config).config
    prepare(
        snakemake.wildcards.dataset,
        int(snakemake.wildcards.size),
        Path(snakemake.output[0]).parent,
        config.resolved_data_root(),
        config.sources,
    )
