"""Table 3: linear probes on ImageNet, AlexNet conv and ResNet-50."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import (
    dataset_of,
    intervals_by,
    protocol_notes,
    scale_of,
    stand_in_note,
)
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
from metaug.reporting.statistics import Interval
from metaug.reporting.tables import NOT_RUN, Cell, Column, Table, method_row
from metaug.spec import TrialSpec

DATASETS = ("imagenet", "tiny_imagenet")
"""The paper's data set, and its stand-in at a scale without it."""

METHODS = (
    "supervised",
    "splitbrain",
    "cpc_v2",
    "swav",
    "simclr",
    "cmc",
    "moco",
    "simsiam",
    "infomin",
    "byol",
    "barlow_twins",
    "nnclr",
    "dacl",
    "looc",
    "simclr_debiased",
    "simclr_hard",
    "metaug",
    "metaug_nnclr",
)
"""Rows; the paper prints no row with both halves of the table for most of them."""

RESNET_METHODS = (
    "cpc_v2",
    "swav",
    "simclr",
    "moco",
    "simsiam",
    "infomin",
    "byol",
    "nnclr",
    "metaug_nnclr",
)
CONV_METHODS = tuple(
    m for m in METHODS if m not in ("cpc_v2", "simsiam", "infomin", "nnclr", "metaug_nnclr")
)
LARGE_BATCH_METHODS = ("nnclr", "metaug_nnclr")
"""MetAug* is stated with batch 4096; its base method gets the same."""

COLUMNS = (
    Column("conv_top1", ("AlexNet conv", "Top-1")),
    Column("resnet50_top1", ("ResNet-50", "Top-1")),
    Column("resnet50_top5", ("ResNet-50", "Top-5")),
)
FOOTNOTES = (
    "* MetAug on NNCLR; the paper does not say how the two are joined.",
    "The paper quotes all its ResNet-50 rows but its own, each with its own recipe and batch; ours "
    "share one protocol, except that MetAug* and NNCLR have the batch of 4096 that the paper "
    "states for MetAug*, where the scale allows it; at the learning rate of all others (the paper: "
    "uniform over comparisons). SimSiam and InfoMin are trained by SGD, as by their authors: "
    "by the others' Adam an AlexNet ended below the untrained one (Extra 5, lite scale).",
    "The paper's supervised row is an AlexNet trained on the labels by others; ours is probed like "
    "the rest.",
)


def trials(grid: Grid) -> list[TrialSpec]:
    """The methods that the paper prints for each network, and their floors."""
    datasets = grid.datasets(DATASETS[0]) or grid.datasets(DATASETS[1])
    conv = [grid.spec(m, d) for d in datasets for m in grid.wanted((FLOOR, *CONV_METHODS))]
    resnet = [
        _resnet_spec(grid, method, dataset)
        for dataset in datasets
        for method in grid.wanted((FLOOR, *RESNET_METHODS))
    ]
    return with_floors(grid, conv + resnet)


def _resnet_spec(grid: Grid, method: str, dataset: str) -> TrialSpec:
    if method not in LARGE_BATCH_METHODS:
        return grid.spec(method, dataset, "resnet50")
    (batch_size,) = grid.values("table3.batch_size", (4096,))
    return grid.spec(method, dataset, "resnet50", batch_size=batch_size)


def render(frame: pd.DataFrame) -> Table:
    """Table 3 from the tidy frame."""
    dataset = dataset_of(frame, *DATASETS)
    cells = {}
    for method in METHODS:
        keys = {"method": method, "dataset": dataset}
        if method in CONV_METHODS:
            ours = cell(frame, **keys, backbone="alexnet", probe="conv", setting="", metric="top1")
            published = published_value("table3", method, dataset, "conv", "top1")
            cells[method, "conv_top1"] = Cell(ours, *published)
        if method in RESNET_METHODS:
            for metric in ("top1", "top5"):
                cells[method, f"resnet50_{metric}"] = Cell(
                    _resnet_interval(frame, **keys, metric=metric),
                    *published_value("table3", method, dataset, "resnet50", metric),
                )
    conv = {"conv_top1": ("conv", "top1")}
    resnet = {f"resnet50_{metric}": ("pool", metric) for metric in ("top1", "top5")}
    cells |= floor_cells(frame, dataset, conv, views_of_all(CONV_METHODS))
    cells |= floor_cells(frame, dataset, resnet, views_of_all(RESNET_METHODS), "resnet50")
    scale = scale_of(frame)
    return Table(
        title="Table 3",
        caption="Top-1 and top-5 accuracy (per cent) of linear probes on frozen features, "
        f"{dataset_name(dataset)}.",
        scale=scale,
        rows=(*map(method_row, METHODS), *map(floor_row, views_of_all(METHODS))),
        columns=COLUMNS,
        cells=cells,
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), DATASETS[:1]),
            *protocol_notes(scale, "alexnet", "resnet50"),
        ),
        digits=1,
    )


def _resnet_interval(frame: pd.DataFrame, **keys: str) -> Interval:
    """The cell with the largest batch: what `_resnet_spec` asks for at any scale."""
    found = intervals_by(frame, {"batch_size": 64}, backbone="resnet50", probe="pool", **keys)
    return found[max(found, key=lambda values: values[0])] if found else NOT_RUN.ours
