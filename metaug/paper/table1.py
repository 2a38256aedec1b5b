"""Table 1: linear probes on four data sets, AlexNet conv and fc."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import datasets_of, rows_of, scale_of, stand_in_note
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
    """Every method of the table that exists, and `random`, on every data set of the scale.

    A method that the user asks for by name joins, though the paper does not know it.
    """
    methods = dict.fromkeys(("random", *METHODS, *(grid.config.methods or ())))
    return [
        grid.spec(method, dataset)
        for dataset in grid.datasets(*DATASETS)
        for method in grid.wanted(methods)
    ]


def render(frame: pd.DataFrame) -> Table:
    """Table 1 from the tidy frame: one column for each data set in it and read-out."""
    datasets = datasets_of(frame, *DATASETS)
    rows = rows_of(frame, backbone="alexnet", setting="", metric="top1")
    methods = dict.fromkeys((*METHODS, "random", *rows["method"]))
    columns = tuple(
        Column(f"{dataset}_{probe}", (dataset_name(dataset), probe))
        for dataset in datasets
        for probe in PROBES
    )
    cells = {
        (method, f"{dataset}_{probe}"): Cell(
            cell(rows, method=method, dataset=dataset, probe=probe),
            *published_value("table1", method, dataset, probe, "top1"),
        )
        for method in methods
        for dataset in datasets
        for probe in PROBES
    }
    return Table(
        title="Table 1",
        caption="Top-1 accuracy (per cent) of linear probes on frozen AlexNet features.",
        scale=scale_of(frame),
        rows=tuple(method_row(method) for method in methods),
        columns=columns,
        cells=cells,
        footnotes=FOOTNOTES + stand_in_note(datasets, DATASETS),
    )
