"""Extra 3: how much of the encoders' gradient comes through the generators, over δ?"""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import Value, dataset_of, intervals_by, scale_of, stand_in_note
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.aggregate import cell
from metaug.reporting.figures import (
    Drawing,
    accuracy_axis,
    canvas,
    curve,
    data_of,
    full_caption,
    legend,
    level,
    note_if_empty,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.style import method_style
from metaug.spec import TrialSpec

DATASET = "cifar10"
DELTAS = (1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
"""Those of Table 5, and two larger ones."""

DEFAULT_DELTA = 1e-5
CAPTION = (
    "Above: the share of the loss with augmented features in the gradient at the features (norm of "
    "its part over the sum of the norms of both parts), over its weight δ, mean of the last epoch "
    "of training. Below: top-1 accuracy of MetAug, and of only OUCL, which has no augmented "
    "features; AlexNet conv, {dataset}."
)


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug over δ, and only OUCL."""
    return [
        spec
        for dataset in grid.datasets(DATASET)
        for spec in (
            *(
                grid.spec(method, dataset, delta=delta)
                for method in grid.wanted(("metaug",))
                for delta in grid.values("extra3.delta", DELTAS)
            ),
            *(grid.spec(method, dataset) for method in grid.wanted(("metaug_oucl",))),
        )
    ]


def render(frame: pd.DataFrame) -> Drawing:
    """Two panels over δ: share of the gradient, and accuracy."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    keys = {"dataset": dataset, "backbone": "alexnet"}
    defaults: dict[str, Value] = {"delta": DEFAULT_DELTA}
    shares, accuracies = (
        {
            float(delta): interval
            for (delta,), interval in intervals_by(
                frame, defaults, method="metaug", probe=probe, metric=metric, **keys
            ).items()
        }
        for probe, metric in (("", "last_augmented_gradient_share"), ("conv", "top1"))
    )
    without = cell(frame, method="metaug_oucl", probe="conv", setting="", metric="top1", **keys)
    with canvas(
        f"Contribution of the generators, {dataset_name(dataset)}", scale, height=3.7, rows=2
    ) as (figure, (above, below)):
        curve(above, shares, method_style("metaug"), "MetAug")
        curve(below, accuracies, method_style("metaug"), "MetAug")
        level(below, without, "only OUCL")
        for axes in (above, below):
            axes.set_xscale("log")
            axes.set_xlim(min(DELTAS) / 3, max(DELTAS) * 3)
            note_if_empty(axes, not accuracies)
        above.set_yscale("log")
        above.set_xticklabels([])
        above.set_ylabel("share of gradient")
        accuracy_axis(below)
        below.set_xlabel("δ")
        legend(figure, below, columns=2)
    shown = (
        {("gradient_share", delta): shares[delta] for delta in sorted(shares)}
        | {("top1", delta): accuracies[delta] for delta in sorted(accuracies)}
        | {("top1_only_oucl", ""): without}
    )
    sentences = (
        CAPTION.format(dataset=dataset_name(dataset)),
        OWN_QUESTION,
        *stand_in_note((dataset,), (DATASET,)),
    )
    return Drawing(
        figure,
        data_of(shown, "quantity", "delta"),
        full_caption(sentences, scale, shown.values()),
    )
