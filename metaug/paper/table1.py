"""Table 1: linear probes on four data sets, AlexNet conv and fc."""

import pandas as pd

from metaug.config import Grid
from metaug.method import registered_methods
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name
from metaug.reporting.tables import Cell, Column, Table, method_row
from metaug.spec import TrialSpec

DATASETS = ("tiny_imagenet", "stl10", "cifar10", "cifar100")
PROBES = ("conv", "fc")
METHODS = (
    "supervised",
    "bigan",
    "nat",
    "dim",
    "splitbrain",
    "swav",
    "simclr",
    "cmc",
    "moco",
    "byol",
    "barlow_twins",
    "dacl",
    "looc",
    "simclr_debiased",
    "simclr_hard",
    "cmc_debiased",
    "cmc_hard",
    "metaug_oucl",
    "metaug",
)
"""Rows in the paper's order; `random` is our own floor."""

FOOTNOTES = (
    "The paper's supervised row is one number for both read-outs; ours are probes of the network "
    "that was trained on the labels.",
    "CMC sees MetAug's three views (RGB, L, ab); the paper does not say which views it used.",
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method of the table that exists, and `random`, on every data set of the scale."""
    return [
        grid.spec(method, dataset)
        for dataset in grid.datasets(*DATASETS)
        for method in ("random", *METHODS)
        if grid.wants(method) and method in registered_methods()
    ]


def render(frame: pd.DataFrame) -> Table:
    """Table 1 from the tidy frame: one column for each data set in it and read-out."""
    present = dict.fromkeys(frame["dataset"])
    datasets = [d for d in DATASETS if d in present] or list(present)
    columns = tuple(
        Column(f"{dataset}_{probe}", (dataset_name(dataset), probe))
        for dataset in datasets
        for probe in PROBES
    )
    cells = {
        (method, f"{dataset}_{probe}"): Cell(
            cell(frame, method=method, dataset=dataset, probe=probe, setting="", metric="top1"),
            *published_value("table1", method, dataset, probe, "top1"),
        )
        for method in (*METHODS, "random")
        for dataset in datasets
        for probe in PROBES
    }
    return Table(
        title="Table 1",
        caption="Top-1 accuracy (per cent) of linear probes on frozen AlexNet features.",
        scale=frame["scale"].iloc[0],
        rows=tuple(method_row(method) for method in (*METHODS, "random")),
        columns=columns,
        cells=cells,
        footnotes=FOOTNOTES,
    )
