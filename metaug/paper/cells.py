"""What every artefact is made of: the queries that fill its places.

An artefact is a module with two functions. `cells(grid)` maps each of its places, a tuple, to the
`Query` of the number that stands there: the only statement of what it shows, of what must be
trained for it and of what it costs. `render(grid, results)` draws it. A place of a table is
(row, column), the names in its CSV.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from metaug.grid import Grid
from metaug.paper.published import NOT_PRINTED, printed
from metaug.reporting.results import NOT_RUN, CellInterval, Query, Results
from metaug.reporting.tables import Cell, Column
from metaug.spec import TrialSpec

Place = tuple[Any, ...]
TablePlace = tuple[str, str]


def dataset_of(grid: Grid, *names: str) -> str:
    """The data set of an artefact that has one: the first of `names` that the grid has, or its
    stand-in; the first of all where it has none."""
    return (*grid.datasets(*names), *names)[0]


def row_cells(
    row: str, spec: TrialSpec, columns: Mapping[str, tuple[str, str]]
) -> dict[TablePlace, Query]:
    """The places of a table's row: one training, and for each column a read-out and a metric."""
    return {(row, c): Query(spec, readout, metric) for c, (readout, metric) in columns.items()}


def intervals(cells: Mapping[Any, Query], results: Results) -> dict[Any, CellInterval]:
    """What the results say to each place; an interval of no trials where nothing has been run."""
    return {place: results.interval(query) for place, query in cells.items()}


def table_cells(
    artefact: str,
    cells: Mapping[TablePlace, Query],
    results: Results,
    columns: Iterable[Column],
    with_printed: bool = True,
) -> dict[TablePlace, Cell]:
    """The cells of a table: ours, and beside it what the paper prints in that place.

    Args:
        artefact: name of the table, as in published.csv.
        cells: its queries.
        results: the trials.
        columns: of the table; a smaller scale may have fewer than the paper.
        with_printed: False where a data set stands in for the paper's.
    """
    names = {column.name for column in columns}
    paper = printed(artefact) if with_printed else {}
    shown = {place: Cell(NOT_RUN, *value) for place, value in paper.items() if place[1] in names}
    for place, query in cells.items():
        shown[place] = Cell(results.interval(query), *paper.get(place, NOT_PRINTED))
    return shown


def specs_of(cells: Mapping[Any, Query]) -> tuple[TrialSpec, ...]:
    """The distinct trainings behind some places, in their order."""
    return tuple(dict.fromkeys(query.spec for query in cells.values()))


def in_columns(cells: Mapping[TablePlace, Query], *columns: str) -> dict[TablePlace, Query]:
    """The cells in these columns of a table."""
    return {place: query for place, query in cells.items() if place[1] in columns}
