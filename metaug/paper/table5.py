"""Table 5: probing with or without augmented features, over their weight δ in training."""

from dataclasses import replace

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
from metaug.paper.floors import floor_cells, floor_row, views_of_all, with_floors
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name, method_name, power_of_ten
from metaug.reporting.tables import NOT_RUN, Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
BASELINES = ("simclr", "dacl", "looc", "cmc_hard")
DELTAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
DEFAULT_DELTA = 1e-5
READOUTS = {
    "with": ("projection", "with_augmented"),
    "without": ("conv", "without"),
    "projection": ("projection", "without"),
}
"""Probe and features of each column."""

COLUMNS = (
    Column("with", ("With augmented features",)),
    Column("without", ("Without augmented features",)),
    Column("projection", ("Projection head alone",)),
)
FOOTNOTES = (
    "δ weighs the loss with augmented features in training. Without augmented features: conv, the "
    "regular mode of the paper (its number at δ = 10⁻⁵ is that of its Table 1). With augmented "
    "features: the projection head is kept, because the generators act on its output z, and their "
    "outputs are appended to z (the paper's appendix A.3).",
    "Projection head alone: z without the generators' outputs, a control that the paper does not "
    "have. What the augmented features add is the difference of the first column from this one; "
    "its difference from conv is what the head loses.",
    "The baselines have no augmented features; their cells are those of Table 1.",
)


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug over δ, the baselines at their defaults, and the floors."""
    specs = (
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
    )
    return with_floors(grid, specs)


def render(frame: pd.DataFrame) -> Table:
    """Table 5 from the tidy frame: the baselines, then one row for each δ."""
    dataset = dataset_of(frame, DATASET)
    keys = {"dataset": dataset, "backbone": "alexnet", "metric": "top1"}
    floors = views_of_all((*BASELINES, "metaug"))
    cells = floor_cells(frame, dataset, {"without": ("conv", "top1")}, floors)
    for method in BASELINES:
        cells[method, "without"] = Cell(
            cell(frame, method=method, probe="conv", setting="", **keys),
            *published_value(
                "table5", method, dataset, "conv", "top1", "without_augmented_features"
            ),
        )
    defaults: dict[str, Value] = {"delta": DEFAULT_DELTA, "features": "without"}
    for column, (probe, features) in READOUTS.items():
        found = intervals_by(frame, defaults, method="metaug", probe=probe, **keys)
        for delta in DELTAS:
            setting = f"{column}_augmented_features;delta={_plain(delta)}"
            cells[_row_name(delta), column] = Cell(
                found.get((delta, features), NOT_RUN.ours),
                *published_value("table5", "metaug", dataset, "conv", "top1", setting),
            )
    scale = scale_of(frame)
    return Table(
        title="Table 5",
        caption="Top-1 accuracy (per cent) with and without augmented features at test, linear "
        f"probes, AlexNet, {dataset_name(dataset)}.",
        scale=scale,
        rows=(
            *(Row(method, (method_name(method), "")) for method in BASELINES),
            *(Row(_row_name(d), (method_name("metaug"), power_of_ten(d))) for d in DELTAS),
            *(replace(row, labels=(*row.labels, "")) for row in map(floor_row, floors)),
        ),
        columns=COLUMNS,
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
