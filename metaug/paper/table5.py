"""Table 5: probing with or without augmented features, over their weight δ in training."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import (
    Value,
    dataset_of,
    intervals_by,
    protocol_notes,
    scale_of,
    stand_in_note,
)
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name, method_name, power_of_ten
from metaug.reporting.tables import NOT_RUN, Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
BASELINES = ("simclr", "dacl", "looc", "cmc_hard")
DELTAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
DEFAULT_DELTA = 1e-5
COLUMNS = {
    "with": Column("with", ("With augmented features",)),
    "without": Column("without", ("Without augmented features",)),
}
FOOTNOTES = (
    "δ weighs the loss with augmented features in training. With augmented features: the "
    "generators' outputs are appended to the probed representation, as in the released code (the "
    "paper does not say how they join it).",
    "The baselines have no augmented features; their cells are those of Table 1.",
)


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug over δ, and the baselines at their defaults."""
    return [
        spec
        for dataset in grid.datasets(DATASET)
        for spec in (
            *(grid.spec(method, dataset) for method in grid.wanted(BASELINES)),
            *(
                grid.spec(method, dataset, delta=delta)
                for method in grid.wanted(("metaug",))
                for delta in grid.values("table5.delta", DELTAS)
            ),
        )
    ]


def render(frame: pd.DataFrame) -> Table:
    """Table 5 from the tidy frame: the baselines, then one row for each δ."""
    dataset = dataset_of(frame, DATASET)
    keys = {"dataset": dataset, "backbone": "alexnet", "probe": "conv", "metric": "top1"}
    cells = {}
    for method in BASELINES:
        cells[method, "without"] = Cell(
            cell(frame, method=method, setting="", **keys),
            *published_value(
                "table5", method, dataset, "conv", "top1", "without_augmented_features"
            ),
        )
    defaults: dict[str, Value] = {"delta": DEFAULT_DELTA, "features": "without"}
    found = intervals_by(frame, defaults, method="metaug", **keys)
    for delta in DELTAS:
        for column, features in (("with", "with_augmented"), ("without", "without")):
            setting = f"{column}_augmented_features;delta={_plain(delta)}"
            cells[_row_name(delta), column] = Cell(
                found.get((delta, features), NOT_RUN.ours),
                *published_value("table5", "metaug", dataset, "conv", "top1", setting),
            )
    scale = scale_of(frame)
    return Table(
        title="Table 5",
        caption="Top-1 accuracy (per cent) with and without augmented features at test, linear "
        f"probes on AlexNet conv, {dataset_name(dataset)}.",
        scale=scale,
        rows=(
            *(Row(method, (method_name(method), "")) for method in BASELINES),
            *(Row(_row_name(d), (method_name("metaug"), power_of_ten(d))) for d in DELTAS),
        ),
        columns=tuple(COLUMNS.values()),
        cells=cells,
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), (DATASET,)),
            *protocol_notes(scale, "alexnet"),
        ),
        stub=("Method", "δ"),
    )


def _plain(delta: float) -> str:
    """1e-5 for 0.00001: how published.csv writes it."""
    mantissa, _, exponent = f"{delta:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _row_name(delta: float) -> str:
    return f"metaug_delta_{_plain(delta)}"
