"""Tables that set variants of MetAug against each other: extras 1, 2 and 4."""

from collections.abc import Iterable, Mapping

import pandas as pd

from metaug.paper.cells import derived, difference, rows_of
from metaug.paper.floors import Views, floor_cells
from metaug.reporting.aggregate import cell, select
from metaug.reporting.statistics import NAN, Interval
from metaug.reporting.tables import Cell, Column

COLUMNS = (
    Column("conv", ("conv", "top-1")),
    Column("conv_difference", ("conv", "Δ")),
    Column("fc", ("fc", "top-1")),
    Column("fc_difference", ("fc", "Δ")),
)
DIFFERENCE_NOTE = "Δ: difference from the first row, paired by trial, with its 95 % t-interval."
OWN_QUESTION = "A question of this project, not a claim of the paper."


def accuracy_cells(
    frame: pd.DataFrame, dataset: str, settings: Mapping[str, str], reference: str
) -> dict[tuple[str, str], Cell]:
    """The cells of `COLUMNS`.

    Args:
        frame: tidy frame.
        dataset: where accuracies are taken from.
        settings: of the rows that have been run, by the rows' names.
        reference: name of the row from which the others differ.
    """
    rows = rows_of(frame, method="metaug", dataset=dataset, backbone="alexnet", metric="top1")
    cells = {}
    for row, setting in settings.items():
        for probe in ("conv", "fc"):
            keys = {"probe": probe}
            cells[row, probe] = Cell(cell(rows, setting=setting, **keys))
            if row == reference:
                cells[row, f"{probe}_difference"] = Cell(Interval(0.0, NAN, 0))
            elif reference in settings:
                change = difference(rows, setting, settings[reference], **keys)
                cells[row, f"{probe}_difference"] = Cell(change)
    return cells


def untrained_cells(
    frame: pd.DataFrame, dataset: str, views: Iterable[Views]
) -> dict[tuple[str, str], Cell]:
    """The cells of the rows of some floors (`floor_row`)."""
    columns = {probe: (probe, "top1") for probe in ("conv", "fc")}
    return floor_cells(frame, dataset, columns, views)


def training_cells(
    frame: pd.DataFrame,
    dataset: str,
    settings: Mapping[str, str],
    column: str,
    metric: str,
    unit: float = 1.0,
) -> dict[tuple[str, str], Cell]:
    """The cells of a column with a quantity of the training itself, in units of `unit`."""
    keys = {"method": "metaug", "dataset": dataset, "backbone": "alexnet", "probe": ""}
    cells = {}
    for row, setting in settings.items():
        keys |= {"setting": setting, "metric": metric}
        interval = derived(select(frame, **keys) / unit, [cell(frame, **keys)])
        cells[row, column] = Cell(interval)
    return cells
