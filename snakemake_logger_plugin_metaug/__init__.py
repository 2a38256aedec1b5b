"""Where Snakemake finds `metaug.suite.screen`: a logger is a top-level package with such a name."""

from metaug.suite.screen import LogHandler

__all__ = ["LogHandler"]
