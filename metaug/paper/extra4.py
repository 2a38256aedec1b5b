"""Extra 4: does it matter how the updates of encoders and generators take turns?"""

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
UPDATE_ORDERS = {
    "per_pass": "a pass over the data each (Algorithm 1)",
    "alternating": "both on every batch, one after the other",
    "simultaneous": "both on every batch, from the same weights",
}
DEFAULT_UPDATE_ORDER = "per_pass"


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug with each order of updates, and its floor."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, update_order=order)
            for dataset in grid.datasets(DATASET)
            for method in grid.wanted(("metaug",))
            for order in UPDATE_ORDERS
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Accuracy, its difference from the pass by pass update, and time."""
    dataset = dataset_of(frame, DATASET)
    found = settings_by(
        frame, {"update_order": DEFAULT_UPDATE_ORDER}, method="metaug", dataset=dataset
    )
    settings = {order: found[order,] for order in UPDATE_ORDERS if (order,) in found}
    return Table(
        title="Extra 4",
        caption="Updates of encoders and generators in turns or at once: top-1 accuracy (per "
        f"cent) of MetAug, AlexNet, {dataset_name(dataset)}; seconds of training.",
        scale=scale_of(frame),
        rows=(
            *(Row(order, (label,), ranked=False) for order, label in UPDATE_ORDERS.items()),
            floor_row(views_of("metaug")),
        ),
        columns=(*COLUMNS, Column("seconds", ("training", "seconds"))),
        cells=accuracy_cells(frame, dataset, settings, DEFAULT_UPDATE_ORDER)
        | training_cells(frame, dataset, settings, "seconds", "train_seconds")
        | untrained_cells(frame, dataset, [views_of("metaug")]),
        footnotes=(
            DIFFERENCE_NOTE,
            "The encoders make the same number of steps in all rows. At once, both updates share "
            "the encoders' forward and backward pass.",
            OWN_QUESTION,
        ),
        stub=("Updates",),
    )
