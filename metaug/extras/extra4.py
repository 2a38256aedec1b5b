"""Extra 4: does it matter how the updates of encoders and generators take turns?"""

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of
from metaug.paper.floors import floor_rows
from metaug.paper.variants import (
    ACCURACIES,
    COLUMNS,
    DIFFERENCE_NOTE,
    OWN_QUESTION,
    SECONDS_NOTE,
    variant_cells,
    variant_table_cells,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Row, Table

DATASET = "cifar10"
UPDATE_ORDERS = {
    "per_pass": "a pass over the data each (Algorithm 1)",
    "alternating": "both on every batch, one after the other",
    "simultaneous": "both on every batch, from the same weights",
}
DEFAULT_UPDATE_ORDER = "per_pass"


MEASURES = ACCURACIES | {"seconds": ("", "train_seconds")}


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """MetAug with each order of updates, and its floor."""
    variants = {order: {"update_order": order} for order in UPDATE_ORDERS}
    return variant_cells(grid, DATASET, variants, MEASURES)


def render(grid: Grid, results: Results) -> Table:
    """Accuracy, its difference from the pass by pass update, and time."""
    queries = cells(grid)
    return Table(
        title="Extra 4",
        caption="Updates of encoders and generators in turns or at once: top-1 accuracy (per "
        f"cent) of MetAug, AlexNet, {dataset_name(dataset_of(grid, DATASET))}; seconds of "
        "training.",
        scale=grid.scale.name,
        rows=(
            *(Row(order, (label,), ranked=False) for order, label in UPDATE_ORDERS.items()),
            *floor_rows(grid, queries),
        ),
        columns=(*COLUMNS, Column("seconds", ("training", "seconds"))),
        cells=variant_table_cells(queries, results, DEFAULT_UPDATE_ORDER),
        footnotes=(
            DIFFERENCE_NOTE,
            "The encoders make the same number of steps in all rows. At once, both updates share "
            "the encoders' forward and backward pass.",
            SECONDS_NOTE,
            OWN_QUESTION,
        ),
        stub=("Updates",),
    )
