"""Extra 1: does the second-order term of the generators' update matter, and the look-ahead?"""

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
ORDERS = {
    "exact": "exact, with the second-order term",
    "first_order": "first order, at the look-ahead",
    "none": "no look-ahead",
}
DEFAULT_ORDER = "exact"


MEASURES = ACCURACIES | {
    "share": ("", "first_second_order_share"),
    "seconds": ("", "train_seconds"),
}


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """MetAug with each order of the generators' update, and its floor."""
    return variant_cells(grid, DATASET, {order: {"order": order} for order in ORDERS}, MEASURES)


def render(grid: Grid, results: Results) -> Table:
    """Accuracy, its difference from the exact update, share of the gradient, and time."""
    queries = cells(grid)
    return Table(
        title="Extra 1",
        caption="The order of the generators' update: top-1 accuracy (per cent) of MetAug, "
        f"AlexNet, {dataset_name(dataset_of(grid, DATASET))}; the share of the second-order term "
        "in the generators' gradient (per cent); seconds of training.",
        scale=grid.scale.name,
        rows=(
            *(Row(order, (label,), ranked=False) for order, label in ORDERS.items()),
            *floor_rows(grid, queries),
        ),
        columns=(
            *COLUMNS,
            Column("share", ("second-order", "share (%)")),
            Column("seconds", ("training", "seconds")),
        ),
        cells=variant_table_cells(queries, results, DEFAULT_ORDER, {"share": 0.01}),
        footnotes=(
            DIFFERENCE_NOTE,
            "Share: the norm of the second-order term over the sum of the norms of both terms, "
            "mean of the first epoch of training; it falls with the learning rate, which is the "
            "length of the look-ahead. The look-ahead is a plain gradient step (Eq. 3); where "
            "the encoders have Adam, their own steps are hundreds of times longer.",
            SECONDS_NOTE,
            OWN_QUESTION,
        ),
        stub=("Update of the generators",),
    )
