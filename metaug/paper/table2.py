"""Table 2: linear probes of a ResNet-50 on two data sets, and their average."""

import pandas as pd

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, row_cells, table_cells
from metaug.paper.floors import floor_cells, floor_rows
from metaug.paper.notes import (
    SWAV_HARD_NOTE,
    dataset_heading,
    dataset_notes,
    protocol_notes,
    user_data_notes,
)
from metaug.paper.published import NOT_PRINTED, printed
from metaug.reporting.names import dataset_name
from metaug.reporting.results import Query, Results, derived
from metaug.reporting.tables import Cell, Column, Table, method_row

DATASETS = ("cifar10", "stl10")
METHODS = (
    "swav",
    "simclr",
    "cmc",
    "byol",
    "barlow_twins",
    "dacl",
    "looc",
    "swav_hard",
    "simclr_hard",
    "cmc_hard",
    "metaug_oucl",
    "metaug",
)
"""Rows in the paper's order; below them stand our own floors."""

FOOTNOTES = (
    "Average: over the data sets within a trial, then over trials.",
    SWAV_HARD_NOTE,
    "The paper prints no intervals here; by its own rule that would mean quoted, which cannot be "
    "so for its own method, so none is marked as quoted.",
)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """Every method of the table, and the floors, with a ResNet-50 on every data set."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.all_datasets(*DATASETS):
        for method in grid.wanted(METHODS):
            spec = grid.spec(method, dataset, "resnet50")
            found |= row_cells(method, spec, {dataset: ("pool", "top1")})
    return found | floor_cells(grid, found)


def render(grid: Grid, results: Results) -> Table:
    """One column for each data set; their average where there is more than one."""
    datasets = grid.all_datasets(*DATASETS) or DATASETS
    queries, scale = cells(grid), grid.scale.name
    columns = tuple(Column(dataset, (dataset_heading(dataset),)) for dataset in datasets)
    shown = table_cells("table2", queries, results, columns)
    if len(datasets) > 1:
        shown |= _averages(queries, results, datasets)
        columns += (Column("average", (dataset_name("average"),)),)
    return Table(
        title="Table 2",
        caption="Top-1 accuracy (per cent) of linear probes on frozen ResNet-50 features.",
        scale=scale,
        rows=(*map(method_row, METHODS), *floor_rows(grid, queries)),
        columns=columns,
        cells=shown,
        footnotes=(
            *FOOTNOTES,
            *dataset_notes(datasets, DATASETS),
            *user_data_notes(grid),
            *protocol_notes(scale, "resnet50"),
        ),
    )


def _averages(
    queries: dict[TablePlace, Query], results: Results, datasets: tuple[str, ...]
) -> dict[TablePlace, Cell]:
    """The column of the average; a trial that lacks one of the data sets has none."""
    paper, averages = printed("table2"), {}
    for row in dict.fromkeys((*(row for row, _ in queries), *METHODS)):
        parts = [queries[row, dataset] for dataset in datasets if (row, dataset) in queries]
        values = [results.values(query) for query in parts] or [pd.Series(dtype=float)]
        average = pd.concat(values, axis=1, join="inner").mean(axis=1)
        place = (row, "average")
        averages[place] = Cell(derived(average, *parts), *paper.get(place, NOT_PRINTED))
    return averages
