"""Table 2: linear probes of a ResNet-50 on two data sets, and their average."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import (
    SWAV_HARD_NOTE,
    dataset_notes,
    datasets_of,
    derived,
    protocol_notes,
    rows_of,
    scale_of,
)
from metaug.paper.floors import (
    FLOOR,
    floor_row,
    floor_settings,
    row_name,
    views_of_all,
    with_floors,
)
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell, select
from metaug.reporting.names import dataset_name
from metaug.reporting.tables import Cell, Column, Table, method_row
from metaug.spec import TrialSpec

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


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method of the table, and the floors, with a ResNet-50 on every data set."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, "resnet50")
            for dataset in grid.datasets(*DATASETS)
            for method in grid.wanted((FLOOR, *METHODS))
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Table 2 from the tidy frame; the average only where there is more than one data set."""
    datasets = datasets_of(frame, *DATASETS)
    names = (*datasets, "average") if len(datasets) > 1 else datasets
    rows = rows_of(frame, backbone="resnet50", probe="pool", metric="top1")
    floors = views_of_all(METHODS)
    shown = {method: {"method": method, "setting": ""} for method in METHODS}
    for views, setting in floor_settings(frame, "resnet50").items():
        if views in floors:
            shown[row_name(views)] = {"method": FLOOR, "setting": setting}
    cells = {}
    for row, keys in shown.items():
        ours = {d: cell(rows, dataset=d, **keys) for d in datasets}
        if "average" in names:
            values = [select(rows, dataset=d, **keys) for d in datasets]
            # a trial that lacks one of the data sets has no average
            average = pd.concat(values, axis=1, join="inner").mean(axis=1)
            ours["average"] = derived(average, ours.values())
        for name in names:
            published = published_value("table2", row, name, "resnet50", "top1")
            cells[row, name] = Cell(ours[name], *published)
    scale = scale_of(frame)
    return Table(
        title="Table 2",
        caption="Top-1 accuracy (per cent) of linear probes on frozen ResNet-50 features.",
        scale=scale,
        rows=(*map(method_row, METHODS), *map(floor_row, floors)),
        columns=tuple(Column(name, (dataset_name(name),)) for name in names),
        cells=cells,
        footnotes=FOOTNOTES + dataset_notes(datasets, DATASETS) + protocol_notes(scale, "resnet50"),
    )
