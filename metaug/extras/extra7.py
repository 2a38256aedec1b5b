"""Extra 7: does the ranking of Table 1 survive under SimCLR's augmentation?"""

import pandas as pd

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, in_columns, row_cells
from metaug.paper.floors import floor_cells, floor_rows
from metaug.paper.table1 import METHODS, PROBES
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.names import NOT_RANKED, dataset_name, method_name
from metaug.reporting.results import CellInterval, Query, Results
from metaug.reporting.statistics import NAN
from metaug.reporting.tables import Cell, Column, Row, Table

DATASET = "cifar10"
PROTOCOL, SIMCLR = "protocol", "simclr"
AUGMENTATIONS = (PROTOCOL, SIMCLR)
"""The one of all other tables, and SimCLR's, a recipe of `metaug.data.augment`."""

COLUMNS = tuple(
    column
    for probe in PROBES
    for column in (
        Column(f"{probe}_{PROTOCOL}", (probe, "protocol")),
        Column(f"{probe}_{SIMCLR}", (probe, "SimCLR's")),
        Column(f"{probe}_difference", (probe, "Δ")),
        Column(f"{probe}_{PROTOCOL}_rank", (probe, "rank, protocol"), digits=0),
        Column(f"{probe}_{SIMCLR}_rank", (probe, "rank, SimCLR's"), digits=0),
    )
)
FOOTNOTES = (
    "Protocol: the augmentation of all other tables. SimCLR's: crops of 8 % to 100 % of the area, "
    "flip, colour jitter and grey, as for CIFAR-10 in its authors' code. Methods with colour views "
    "see jitter and grey through them.",
    "Δ: SimCLR's minus the protocol's, paired by trial, with its 95 % t-interval.",
    "Rank: place of the mean among the self-supervised rows that were run with both.",
    "DACL adds its mixup to either; LooC leaves out every operation in turn.",
    OWN_QUESTION,
)


def methods_of(grid: Grid) -> tuple[str, ...]:
    """The rows: those of Table 1 that the scale has."""
    return grid.choices("extra7.methods", METHODS)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """The rows of Table 1 with both augmentations, and the floors."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(methods_of(grid)):
            for name, changes in ((PROTOCOL, {}), (SIMCLR, {"augmentation": SIMCLR})):
                columns = {f"{probe}_{name}": (probe, "top1") for probe in PROBES}
                found |= row_cells(method, grid.spec(method, dataset, **changes), columns)
    under_protocol = in_columns(found, *(f"{probe}_{PROTOCOL}" for probe in PROBES))
    return found | floor_cells(grid, under_protocol)


def render(grid: Grid, results: Results) -> Table:
    """One row for each method: accuracies under both augmentations, and its rank under each."""
    queries = cells(grid)
    shown = {place: Cell(results.interval(query)) for place, query in queries.items()}
    for (row, column), query in queries.items():
        probe, _, name = column.partition("_")
        if name == SIMCLR:
            change = results.difference(query, queries[row, f"{probe}_{PROTOCOL}"])
            shown[row, f"{probe}_difference"] = Cell(change)
    for probe in PROBES:
        for name in AUGMENTATIONS:
            shown |= _ranks(shown, f"{probe}_{name}", f"{probe}_difference")
    return Table(
        title="Extra 7",
        caption="The rows of Table 1 under SimCLR's augmentation: top-1 accuracy (per cent) of "
        f"linear probes on frozen AlexNet features, {dataset_name(dataset_of(grid, DATASET))}.",
        scale=grid.scale.name,
        rows=(
            *(Row(m, (method_name(m),), ranked=False) for m in methods_of(grid)),
            *floor_rows(grid, queries),
        ),
        columns=COLUMNS,
        cells=shown,
        footnotes=FOOTNOTES,
    )


def _ranks(
    shown: dict[TablePlace, Cell], column: str, run_with_both: str
) -> dict[TablePlace, Cell]:
    """The place of each mean in a column, among the self-supervised rows run with both."""
    measured = {
        row: shown[row, column].ours
        for (row, name), cell in shown.items()
        if name == run_with_both and cell.ours.n and row not in NOT_RANKED
    }
    means = pd.Series({row: found.mean for row, found in measured.items()}, dtype=float)
    ranks = {}
    for row, rank in means.rank(ascending=False, method="min").items():
        ours = measured[str(row)]
        place = CellInterval(float(rank), NAN, ours.n)
        place.specs = ours.specs if isinstance(ours, CellInterval) else ()
        ranks[str(row), f"{column}_rank"] = Cell(place)
    return ranks
