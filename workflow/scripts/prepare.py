"""Decode a data set once into memory-mapped arrays."""

from pathlib import Path

from metaug.config import Config
from metaug.data.prepare import prepare
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    # not the plan: it imports all that tables and figures need
    config = Config.model_validate(snakemake.config)
    prepare(
        snakemake.wildcards.dataset,
        int(snakemake.wildcards.size),
        Path(snakemake.output[0]).parent,
        config.resolved_data_root(),
        config.sources,
    )
