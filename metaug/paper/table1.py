"""Table 1: linear probes on four data sets, AlexNet conv and fc."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import dataset_notes, datasets_of, protocol_notes, rows_of, scale_of
from metaug.paper.floors import (
    FLOOR,
    floor_cells,
    floor_row,
    views_of_all,
    with_floors,
)
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
"""Rows in the paper's order; below them stand our own floors."""

FOOTNOTES = (
    "What the paper quotes has networks, probes and augmentations of its own; our rows share one "
    "protocol, but for BiGAN's learning rate and weight decay.",
    "The paper's supervised row is one number for both read-outs; ours are probes of the network "
    "that was trained on the labels.",
    "CMC and its variants see MetAug's three views (RGB, L, ab); the paper does not say which ones "
    "it used.",
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method of the table that exists, and the floors, on every data set of the scale.

    A method that the user asks for by name joins, though the paper does not know it.
    """
    methods = dict.fromkeys((FLOOR, *METHODS, *(grid.config.methods or ())))
    return with_floors(
        grid,
        (
            grid.spec(method, dataset)
            for dataset in grid.datasets(*DATASETS)
            for method in grid.wanted(methods)
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Table 1 from the tidy frame: one column for each data set in it and read-out."""
    datasets = datasets_of(frame, *DATASETS)
    rows = rows_of(frame, backbone="alexnet", setting="", metric="top1")
    methods = [m for m in dict.fromkeys((*METHODS, *rows["method"])) if m != FLOOR]
    floors = views_of_all(methods)
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
    for dataset in datasets:
        measured = {f"{dataset}_{probe}": (probe, "top1") for probe in PROBES}
        cells |= floor_cells(frame, dataset, measured, floors)
    scale = scale_of(frame)
    return Table(
        title="Table 1",
        caption="Top-1 accuracy (per cent) of linear probes on frozen AlexNet features.",
        scale=scale,
        rows=(*map(method_row, methods), *map(floor_row, floors)),
        columns=columns,
        cells=cells,
        footnotes=FOOTNOTES + dataset_notes(datasets, DATASETS) + protocol_notes(scale, "alexnet"),
    )
