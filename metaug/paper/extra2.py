"""Extra 2: do the paper's text and its code give the same result, and what makes the difference?"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from metaug.algorithm.discrepancies import VARIANTS
from metaug.config import Grid
from metaug.paper.cells import dataset_of, rows_of, scale_of
from metaug.paper.variants import COLUMNS, DIFFERENCE_NOTE, OWN_QUESTION, accuracy_cells
from metaug.reporting.names import dataset_name
from metaug.reporting.tables import Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
SWITCHES = {
    "views": "third view Lab, not RGB",
    "loss": "Eq. 8 with λ = 0, not Eq. 10",
    "gamma": "γ = 0.25, not 0.40",
    "prefix": "loss not divided by β",
    "negatives": "1,024 negatives, not 4,096",
    "inner_learning_rate": "look-ahead at rate 0.001, not the encoders'",
    "update_order": "both updates on every batch, not pass by pass",
    "augmented_loss": "four losses with augmented features, not one",
    "bank_updates": "bank updated at every evaluation, not once a step",
    "redraw_negatives": "negatives redrawn for each loss",
    "mag_running_statistics": "encoder steps move the generators' batch statistics",
    "margin_in_encoder_step": "margin regularisation in the encoders' step too",
    "margin_in_look_ahead": "margin regularisation in the look-ahead too",
    "margin_scope": "margins of each image, not of the batch",
    "margin_gradient": "gradient through the margins",
    "margin_positive_weight": "positive part of that regularisation weighted 10⁻⁴",
    "margin_pairs": "that regularisation over twelve groups of pairs",
}
"""Places where text and code disagree, and what the code does there."""

VIEWS = {"published": ("rgb", "l", "ab"), "released": ("lab", "l", "ab")}
FOOTNOTES = (
    DIFFERENCE_NOTE,
    "Below the first two rows: the text's variant with one switch put to what the code does. Two "
    "switches are left out, for alone they change nothing here: the batch-norm mode of the "
    "generators in probes (these probes see no augmented features), and which scores give the "
    "margins (they differ only where negatives are redrawn).",
    "Optimiser, epochs, image size and, at scales other than full, the number of negatives are "
    "the scale's in all rows.",
    OWN_QUESTION,
)


def value_of(variant: str, switch: str) -> Any:
    """What a variant has for a switch, as the spec takes it."""
    return VIEWS[variant] if switch == "views" else VARIANTS[variant][switch]


def trials(grid: Grid) -> list[TrialSpec]:
    """Both variants, and the published one with one switch at a time. The variant is always named:
    a user's overrides may have made the other one the default."""
    text = {"variant": "published", "views": VIEWS["published"]}
    changes: list[dict[str, Any]] = [text, {"variant": "released", "views": VIEWS["released"]}]
    for switch in grid.values("extra2.switches", tuple(SWITCHES)):
        changes.append({**text, switch: value_of("released", switch)})
    return [
        grid.spec(method, dataset, **change)
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for change in changes
    ]


def render(frame: pd.DataFrame) -> Table:
    """Accuracy and difference from the published variant; of the switches, those that were run."""
    dataset = dataset_of(frame, DATASET)
    rows = rows_of(frame, method="metaug", dataset=dataset, backbone="alexnet", probe="conv")
    settings = _settings(rows["setting"].unique())
    labels = {"published": "the paper's text", "released": "the released code"} | SWITCHES
    shown = settings.keys() | {"published", "released"} if settings else labels.keys()
    return Table(
        title="Extra 2",
        caption="The paper's text against its code: top-1 accuracy (per cent) of MetAug, AlexNet, "
        f"{dataset_name(dataset)}.",
        scale=scale_of(frame),
        rows=tuple(
            Row(name, (label,), ranked=False) for name, label in labels.items() if name in shown
        ),
        columns=COLUMNS,
        cells=accuracy_cells(frame, dataset, settings, "published"),
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
    if whole := max(
        (parts for parts in found if f"variant={other}" in parts), key=len, default=None
    ):
        wanted[other] = whole
        for part in whole:
            if (switch := part.partition("=")[0]) in SWITCHES:
                wanted[switch] = whole - {part} if overridden else frozenset({part})
    return {row: found[parts] for row, parts in wanted.items() if parts in found}
