"""Table 3: linear probes on ImageNet, AlexNet conv and ResNet-50."""

from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, row_cells, table_cells
from metaug.paper.floors import floor_cells, floor_rows
from metaug.paper.notes import protocol_notes, stand_in_note
from metaug.reporting.names import dataset_name
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Table, method_row

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
    "on AlexNet's fc it ends some 3 points above the others' Adam (one trial at the lite scale, "
    "docs/lite.md).",
    "The paper's supervised row is an AlexNet trained on the labels by others; ours is probed like "
    "the rest.",
)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """The methods that the paper prints for each network, and their floors."""
    found: dict[TablePlace, Query] = {}
    resnet = {f"resnet50_{metric}": ("pool", metric) for metric in ("top1", "top5")}
    batch_size = grid.value("table3.batch_size", 4096)
    for dataset in grid.datasets(DATASETS[0]) or grid.datasets(DATASETS[1]):
        for method in grid.wanted(CONV_METHODS):
            found |= row_cells(method, grid.spec(method, dataset), {"conv_top1": ("conv", "top1")})
        for method in grid.wanted(RESNET_METHODS):
            changes: dict[str, Any] = {}
            if method in LARGE_BATCH_METHODS:
                changes["batch_size"] = batch_size
            found |= row_cells(method, grid.spec(method, dataset, "resnet50", **changes), resnet)
    return found | floor_cells(grid, found)


def render(grid: Grid, results: Results) -> Table:
    """Three columns: an AlexNet's top-1, a ResNet-50's top-1 and top-5."""
    dataset, scale = dataset_of(grid, *DATASETS), grid.scale.name
    queries = cells(grid)
    return Table(
        title="Table 3",
        caption="Top-1 and top-5 accuracy (per cent) of linear probes on frozen features, "
        f"{dataset_name(dataset)}.",
        scale=scale,
        rows=(*map(method_row, METHODS), *floor_rows(grid, queries)),
        columns=COLUMNS,
        cells=table_cells("table3", queries, results, COLUMNS, dataset == DATASETS[0]),
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), DATASETS[:1]),
            *protocol_notes(scale, "alexnet", "resnet50"),
        ),
        digits=1,
    )
