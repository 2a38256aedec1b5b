"""Extra 1: does the second-order term of the generators' update matter, and the look-ahead?"""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import dataset_of, scale_of, settings_by
from metaug.paper.floors import floor_row, views_of, with_floors
from metaug.paper.variants import (
    COLUMNS,
    DIFFERENCE_NOTE,
    OWN_QUESTION,
    accuracy_cells,
    training_cells,
    untrained_cells,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.tables import Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
ORDERS = {
    "exact": "exact, with the second-order term",
    "first_order": "first order, at the look-ahead",
    "none": "no look-ahead",
}
DEFAULT_ORDER = "exact"


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug with each order of the generators' update, and its floor."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, order=order)
            for dataset in grid.datasets(DATASET)
            for method in grid.wanted(("metaug",))
            for order in ORDERS
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Accuracy, its difference from the exact update, share of the gradient, and time."""
    dataset = dataset_of(frame, DATASET)
    found = settings_by(frame, {"order": DEFAULT_ORDER}, method="metaug", dataset=dataset)
    settings = {order: found[order,] for order in ORDERS if (order,) in found}
    return Table(
        title="Extra 1",
        caption="The order of the generators' update: top-1 accuracy (per cent) of MetAug, "
        f"AlexNet, {dataset_name(dataset)}; the share of the second-order term in the "
        "generators' gradient (per cent); seconds of training.",
        scale=scale_of(frame),
        rows=(
            *(Row(order, (label,), ranked=False) for order, label in ORDERS.items()),
            floor_row(views_of("metaug")),
        ),
        columns=(
            *COLUMNS,
            Column("share", ("second-order", "share (%)")),
            Column("seconds", ("training", "seconds")),
        ),
        cells=accuracy_cells(frame, dataset, settings, DEFAULT_ORDER)
        | training_cells(frame, dataset, settings, "share", "last_second_order_share", unit=0.01)
        | training_cells(frame, dataset, settings, "seconds", "train_seconds")
        | untrained_cells(frame, dataset, [views_of("metaug")]),
        footnotes=(
            DIFFERENCE_NOTE,
            "Share: the norm of the second-order term over the sum of the norms of both terms, "
            "mean of the last epoch of training.",
            OWN_QUESTION,
        ),
        stub=("Update of the generators",),
    )
