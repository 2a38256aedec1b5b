"""Table 1: linear probes on four data sets, AlexNet conv and fc."""

from metaug.grid import Grid
from metaug.method import find_method
from metaug.paper.cells import TablePlace, row_cells, table_cells
from metaug.paper.floors import FLOOR, floor_cells, floor_rows
from metaug.paper.notes import dataset_heading, dataset_notes, protocol_notes, user_data_notes
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Table, method_row

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
    "protocol, except for BiGAN's learning rate and weight decay.",
    "The paper's supervised row is one number for both read-outs; ours are probes of the network "
    "that was trained on the labels.",
    "CMC and its variants see MetAug's three views (RGB, L, ab); the paper does not say which ones "
    "it used.",
)


def methods_of(grid: Grid) -> tuple[str, ...]:
    """The rows: the paper's, and methods that it does not know but the user asks for by name."""
    methods = dict.fromkeys((*METHODS, *(grid.config.methods or ())))
    return tuple(method for method in methods if method != FLOOR)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """Every method, and the floors, on every data set of the scale."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.all_datasets(*DATASETS):
        columns = {f"{dataset}_{probe}": (probe, "top1") for probe in PROBES}
        for method in grid.wanted(methods_of(grid)):
            found |= row_cells(method, grid.spec(method, dataset), columns)
    return found | (floor_cells(grid, found) if found else _floors_alone(grid))


def _floors_alone(grid: Grid) -> dict[TablePlace, Query]:
    """The floors of all networks of the table, for a user who wants nothing else."""
    kinds = [find_method(method) for method in METHODS]
    views = dict.fromkeys(kind.views_of(kind.Hyper()) for kind in kinds)
    return floor_cells(
        grid,
        {
            (str(i), f"{dataset}_{probe}"): Query(grid.spec(FLOOR, dataset, views=v), probe)
            for dataset in grid.all_datasets(*DATASETS)
            for i, v in enumerate(views)
            for probe in PROBES
        },
    )


def render(grid: Grid, results: Results) -> Table:
    """One column for each data set and read-out."""
    datasets = grid.all_datasets(*DATASETS) or DATASETS
    queries, scale = cells(grid), grid.scale.name
    columns = tuple(
        Column(f"{dataset}_{probe}", (dataset_heading(dataset), probe))
        for dataset in datasets
        for probe in PROBES
    )
    return Table(
        title="Table 1",
        caption="Top-1 accuracy (per cent) of linear probes on frozen AlexNet features.",
        scale=scale,
        rows=(*map(method_row, methods_of(grid)), *floor_rows(grid, queries)),
        columns=columns,
        cells=table_cells("table1", queries, results, columns),
        footnotes=(
            *FOOTNOTES,
            *dataset_notes(datasets, DATASETS),
            *user_data_notes(grid),
            *protocol_notes(scale, "alexnet"),
        ),
    )
