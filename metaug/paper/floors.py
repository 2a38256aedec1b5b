"""Floors: what an untrained network of the same architecture gives.

Networks differ in what they give untrained: three half-width encoders of colour views have more
features than one of RGB. So every table of accuracies shows the floor of each network in it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import TablePlace
from metaug.reporting.names import view_names
from metaug.reporting.results import Query
from metaug.reporting.tables import Row
from metaug.spec import TrialSpec

FLOOR = "random"
"""The method that does not train."""

ARCHITECTURE = ("views", "width", "view_width", "image_size", "train_images", "probe")
"""Fields of a spec, besides data set and backbone, on which the floor depends: those of the
network, and what its probe learns from."""


def floor_of(grid: Grid, spec: TrialSpec) -> TrialSpec:
    """The spec of the untrained network of the same views, width, backbone, data and probe."""
    same: dict[str, Any] = {field: getattr(spec, field) for field in ARCHITECTURE}
    return grid.spec(FLOOR, spec.dataset, spec.backbone, **same)


def floor_query(grid: Grid, query: Query) -> Query:
    """The same number of the untrained network."""
    return replace(query, spec=floor_of(grid, query.spec))


def floor_cells(grid: Grid, cells: Mapping[TablePlace, Query]) -> dict[TablePlace, Query]:
    """The floors of a table's cells: in the same columns, in a row for each network.

    The row of fewest views comes first. There are none where the user does not want the untrained
    network.
    """
    if not grid.wanted((FLOOR,)):
        return {}
    found = {}
    for (_, column), query in cells.items():
        floor = floor_query(grid, query)
        found[_row_name(grid, floor.spec), column] = floor
    places = sorted(found, key=lambda place: (len(found[place].spec.views), place[0]))
    return {place: found[place] for place in places}


def floor_row(grid: Grid, cells: Mapping[TablePlace, Query]) -> dict[TablePlace, Query]:
    """The floors of a table whose columns have a network each: one row, `FLOOR`.

    There is none where the user does not want the untrained network.
    """
    if not grid.wanted((FLOOR,)):
        return {}
    return {(FLOOR, column): floor_query(grid, query) for (_, column), query in cells.items()}


def floor_rows(grid: Grid, cells: Mapping[TablePlace, Query]) -> list[Row]:
    """The rows of the floors among a table's cells, such as "Untrained, RGB"."""
    specs = {row: query.spec for (row, _), query in cells.items() if query.spec.method == FLOOR}
    return [Row(row, (_label(grid, spec),), ranked=False) for row, spec in specs.items()]


def _row_name(grid: Grid, floor: TrialSpec) -> str:
    name = "_".join((FLOOR, *floor.views))
    return f"{name}_{floor.hash}" if _difference(grid, floor) else name


def _label(grid: Grid, floor: TrialSpec) -> str:
    """Names what else sets a floor apart from others of the same views."""
    difference = _difference(grid, floor).replace(";", ", ")
    label = f"Untrained, {view_names(floor.views)}"
    return f"{label}; {difference}" if difference else label


def _difference(grid: Grid, floor: TrialSpec) -> str:
    same_views = grid.spec(FLOOR, floor.dataset, floor.backbone, views=floor.views)
    return floor.difference(same_views)
