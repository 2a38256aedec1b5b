"""Extra 2: do the paper's text and its code give the same result, and what makes the difference?"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from metaug.algorithm.discrepancies import DISCREPANCIES, RELEASE_RECIPE, VIEWS
from metaug.config import Grid
from metaug.paper.cells import dataset_of, rows_of, scale_of
from metaug.paper.floors import FLOOR, floor_row, with_floors
from metaug.paper.variants import (
    COLUMNS,
    DIFFERENCE_NOTE,
    OWN_QUESTION,
    accuracy_cells,
    untrained_cells,
)
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name
from metaug.reporting.tables import Cell, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
WITHOUT_EFFECT = ("margin_originals", "augmented_readout", "mag_probe_mode")
"""Switches that change no number of this table alone; a footnote says why."""

SWITCHES = {
    d.name: d
    for d in DISCREPANCIES
    if d.where in ("hyper", "spec") and d.name not in WITHOUT_EFFECT
}
"""The rows with one thing as the code has it, by the hyper-parameter or field of the spec."""

OPTIMISER = ("optimizer", "learning_rate", "momentum", "weight_decay")
"""What the switch `optimizer` takes from the release's recipe: SGD has a rate of its own."""

RECIPE_SIZE = f"image_size={RELEASE_RECIPE['image_size']}"
"""Tells the setting of the release's whole recipe: no scale has its images of CIFAR-10."""

LABELS = {
    "published": "the paper's text",
    "recipe": "the release's whole recipe",
    "released": "the released code, optimiser and sizes of the scale",
    **{name: switch.text for name, switch in SWITCHES.items()},
}
FOOTNOTES = (
    DIFFERENCE_NOTE,
    "The release's whole recipe alone has its optimiser and schedule (SGD, rate 0.03, in steps), "
    "its 300 epochs, its network and its images of 224 pixels; without a number it was not "
    "feasible at this scale. All other rows have the optimiser, epochs and sizes of the scale, and "
    "the number of negatives too where the scale sets it; the row of the encoders' optimiser has "
    "the release's rate, momentum and weight decay.",
    "Below the first three rows: the text's variant with one thing as the code has it. Three are "
    "left out, because alone they change nothing here: how augmented features are probed, the mode "
    "of the generators then (these probes see no augmented features), and which scores give the "
    "margins (they differ only where negatives are redrawn).",
    "Two more discrepancies are measured for every training: fc6 beside fc (Extra 5), and the best "
    "epoch of a probe beside the mean of its last ones (top1_best in the records).",
    OWN_QUESTION,
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Both variants, the release's whole recipe where the scale wants it, the published variant
    with one switch at a time, and the floors. The variant is always named: a user's overrides may
    have made the other one the default."""
    text = {"variant": "published", "views": VIEWS["published"]}
    changes: list[dict[str, Any]] = [text, {"variant": "released", "views": VIEWS["released"]}]
    changes += [
        {"preset": "own", **RELEASE_RECIPE}
        for wanted in grid.values("extra2.recipe", (True,))
        if wanted
    ]
    changes += [
        {**text, **_switched(switch)} for switch in grid.values("extra2.switches", tuple(SWITCHES))
    ]
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, **change)
            for dataset in grid.datasets(DATASET)
            for method in grid.wanted(("metaug",))
            for change in changes
        ),
    )


def _switched(switch: str) -> dict[str, Any]:
    """What a switch changes in the spec."""
    if switch == "optimizer":
        return {key: RELEASE_RECIPE[key] for key in OPTIMISER}
    return {switch: SWITCHES[switch].released}


def render(frame: pd.DataFrame) -> Table:
    """Accuracy and difference from the published variant; of the switches, those that were run."""
    dataset = dataset_of(frame, DATASET)
    rows = rows_of(frame, method="metaug", dataset=dataset, backbone="alexnet", probe="conv")
    settings = _settings(rows["setting"].unique())
    shown = settings.keys() | {"published", "recipe", "released"} if settings else LABELS.keys()
    floors = tuple(VIEWS.values())
    untrained = rows_of(frame, method=FLOOR, dataset=dataset, backbone="alexnet", metric="top1")
    recipe_floor = {
        ("recipe_floor", probe): Cell(cell(untrained, setting=setting, probe=probe))
        for setting in untrained["setting"].unique()
        if RECIPE_SIZE in setting.split(";")
        for probe in ("conv", "fc")
    }
    return Table(
        title="Extra 2",
        caption="The paper's text against its code: top-1 accuracy (per cent) of MetAug, AlexNet, "
        f"{dataset_name(dataset)}.",
        scale=scale_of(frame),
        rows=(
            *(Row(n, (label,), ranked=False) for n, label in LABELS.items() if n in shown),
            *map(floor_row, floors),
            Row("recipe_floor", ("Untrained, as in the whole recipe",), ranked=False),
        ),
        columns=COLUMNS,
        cells=accuracy_cells(frame, dataset, settings, "published")
        | untrained_cells(frame, dataset, floors)
        | recipe_floor,
        footnotes=FOOTNOTES,
        stub=("Variant",),
    )


def _settings(texts: Iterable[str]) -> dict[str, str]:
    """The setting of each row that was run, by the row's name.

    A setting names what differs from the default, which is the published variant unless the user
    overrides it. What the other variant's setting names are the switches; beside the published
    default a switch is named alone, beside the released one all the others are.
    """
    found = {frozenset(text.split(";")) - {""}: text for text in texts if "features=" not in text}
    overridden = any("variant=published" in parts for parts in found)
    default, other = ("released", "published") if overridden else ("published", "released")
    wanted = {default: frozenset[str]()}
    if recipe := next((parts for parts in found if RECIPE_SIZE in parts), None):
        wanted["recipe"] = recipe
    own_optimiser = {parts for parts in found if "optimizer=sgd" in parts}
    if whole := max(
        (parts for parts in found.keys() - own_optimiser if f"variant={other}" in parts),
        key=len,
        default=None,
    ):
        wanted[other] = whole
        for part in whole:
            if (switch := part.partition("=")[0]) in SWITCHES:
                wanted[switch] = whole - {part} if overridden else frozenset({part})
    text = wanted.get("published", frozenset())
    for parts in own_optimiser:
        if parts >= text and {part.partition("=")[0] for part in parts - text} <= {*OPTIMISER}:
            wanted["optimizer"] = parts
    return {row: found[parts] for row, parts in wanted.items() if parts in found}
