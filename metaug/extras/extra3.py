"""Extra 3: how much of the encoders' gradient comes through the generators, over δ?"""

from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
from metaug.paper.variants import OWN_QUESTION
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
from metaug.reporting.results import NOT_RUN, Query, Results
from metaug.reporting.style import method_style

DATASET = "cifar10"
DELTAS = (1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
"""Those of Table 5, and two larger ones."""

CAPTION = (
    "Above: the share of the loss with augmented features in the gradient at the features (norm of "
    "its part over the sum of the norms of both parts), over its weight δ, mean of the last epoch "
    "of training. Below: top-1 accuracy of MetAug, and of only OUCL, which has no augmented "
    "features; AlexNet conv, {dataset}."
)


MEASURES = {"gradient_share": ("", "last_augmented_gradient_share"), "top1": ("conv", "top1")}
WITHOUT = ("top1_only_oucl", "")
"""The place of only OUCL."""


def cells(grid: Grid) -> dict[tuple[str, Any], Query]:
    """MetAug by δ, and only OUCL."""
    found: dict[tuple[str, Any], Query] = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(("metaug",)):
            for quantity, (readout, metric) in MEASURES.items():
                for delta in sorted(grid.values("extra3.delta", DELTAS)):
                    spec = grid.spec(method, dataset, delta=delta)
                    found[quantity, delta] = Query(spec, readout, metric)
        for method in grid.wanted(("metaug_oucl",)):
            found[WITHOUT] = Query(grid.spec(method, dataset), *MEASURES["top1"])
    return found


def render(grid: Grid, results: Results) -> Drawing:
    """Two panels over δ: share of the gradient, and accuracy."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    shares, accuracies = (
        {delta: interval for (name, delta), interval in shown.items() if name == quantity}
        for quantity in MEASURES
    )
    with canvas(
        f"Contribution of the generators, {dataset_name(dataset)}", scale, height=3.7, rows=2
    ) as (figure, (above, below)):
        curve(above, shares, method_style("metaug"), "MetAug")
        curve(below, accuracies, method_style("metaug"), "MetAug")
        level(below, shown.get(WITHOUT, NOT_RUN), "only OUCL")
        for axes in (above, below):
            axes.set_xscale("log")
            axes.set_xlim(min(DELTAS) / 3, max(DELTAS) * 3)
            note_if_empty(axes, accuracies.values())
        above.set_yscale("log")
        above.set_xticklabels([])
        above.set_ylabel("share of gradient")
        accuracy_axis(below, "conv")
        below.set_xlabel("δ")
        legend(figure, below, columns=2)
    sentences = (
        CAPTION.format(dataset=dataset_name(dataset)),
        OWN_QUESTION,
        *stand_in_note((dataset,), (DATASET,)),
    )
    return Drawing(
        figure,
        data_of(shown, "quantity", "delta"),
        full_caption(sentences, scale, shown.values(), dots=True),
    )
