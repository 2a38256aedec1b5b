"""Tables that set variants of MetAug against each other: extras 1, 2 and 4."""

from collections.abc import Mapping
from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, in_columns, row_cells
from metaug.paper.floors import floor_cells
from metaug.reporting.results import NOT_RUN, Query, Results
from metaug.reporting.statistics import NAN, Interval
from metaug.reporting.tables import Cell, Column

ACCURACIES = {"conv": ("conv", "top1"), "fc": ("fc", "top1")}
COLUMNS = (
    Column("conv", ("conv", "top-1")),
    Column("conv_difference", ("conv", "Δ")),
    Column("fc", ("fc", "top-1")),
    Column("fc_difference", ("fc", "Δ")),
)
DIFFERENCE_NOTE = "Δ: difference from the first row, paired by trial, with its 95 % t-interval."
SECONDS_NOTE = (
    "Seconds of the clock on the wall, on whatever machine a trial ran: they compare methods only "
    "where one idle machine ran all trials. `make bench` compares speeds."
)
OWN_QUESTION = "A question of this project, not a claim of the paper."


def variant_cells(
    grid: Grid,
    dataset: str,
    variants: Mapping[str, Mapping[str, Any]],
    measures: Mapping[str, tuple[str, str]] = ACCURACIES,
) -> dict[TablePlace, Query]:
    """Variants of MetAug, and their floors.

    Args:
        grid: makes the specs.
        dataset: one data set of the artefact; the grid need not have it.
        variants: what each row changes in MetAug's spec.
        measures: read-out and metric of each column.
    """
    found: dict[TablePlace, Query] = {}
    for name in grid.datasets(dataset):
        for method in grid.wanted(("metaug",)):
            for row, change in variants.items():
                found |= row_cells(row, grid.spec(method, name, **change), measures)
    return found | floor_cells(grid, in_columns(found, *ACCURACIES))


def variant_table_cells(
    cells: Mapping[TablePlace, Query],
    results: Results,
    reference: str,
    units: Mapping[str, float] | None = None,
) -> dict[TablePlace, Cell]:
    """The cells of the queries, and the differences of the accuracies from those of a row.

    Args:
        cells: from `variant_cells`.
        results: the trials.
        reference: the row from which the others differ.
        units: of columns that are not shown in the unit of the results.
    """
    shown = {}
    for (row, column), query in cells.items():
        unit = (units or {}).get(column, 1.0)
        shown[row, column] = Cell(results.interval(query, unit))
        if column in ACCURACIES and query.spec.method == "metaug":
            base = cells[reference, column]
            change: Interval = results.difference(query, base)
            if row == reference:
                change = Interval(0.0, NAN, 0) if shown[row, column].ours.n else NOT_RUN
            shown[row, f"{column}_difference"] = Cell(change)
    return shown
