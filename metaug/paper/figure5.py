"""Figure 5: kind of loss against size of the injected margin."""

import math
from typing import Any

from metaug.algorithm.hyper import MetAugHyper
from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
from metaug.paper.published import printed
from metaug.reporting.figures import (
    Drawing,
    canvas,
    colour_bar,
    data_of,
    full_caption,
    heatmap,
    shared_norm,
)
from metaug.reporting.names import dataset_name, power_of_ten
from metaug.reporting.results import Query, Results

DATASET = "cifar100"
LOSSES = {"oucl": "OUCL", "contrastive": "contrastive"}
SIZES = {"none": "none", "small": "Small", "medium": "Medium", "large": "Large"}
CAPTION = (
    "Top-1 accuracy of MetAug over the loss and the size of the injected margin, AlexNet fc, "
    "{dataset}. None: no margin-injected regularisation (α = 0, else {alpha}). {paper}"
)
PAPER = (
    "In small type: the paper's number. It prints seven more, 60.77, 60.59, 60.40, 59.74, 60.28, "
    "59.80 and 59.63, whose cells cannot be told."
)


def cells(grid: Grid) -> dict[tuple[str, str], Query]:
    """MetAug by loss and size of the margin."""
    return {
        (loss, size): Query(grid.spec(method, dataset, loss=loss, **_margin(size)), "fc")
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for loss in LOSSES
        for size in SIZES
    }


def _margin(size: str) -> dict[str, Any]:
    return {"alpha": 0.0} if size == "none" else {"margin_size": size}


def render(grid: Grid, results: Results) -> Drawing:
    """A heatmap, losses by margins."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    paper = printed("figure5") if dataset == DATASET else {}
    published = {place: value.value for place, value in paper.items()}
    labelled, texts = {}, {}
    for (loss, size), interval in shown.items():
        place = LOSSES[loss], SIZES[size]
        labelled[place] = interval
        lines = [f"{interval.mean:.2f}"]
        if not math.isnan(interval.half_width):
            lines.append(f"± {interval.half_width:.2f}")
        if (loss, size) in published:
            lines.append(f"paper {published[loss, size]:.2f}")
        texts[place] = "\n".join(lines)
    with canvas(f"Loss and margin, {dataset_name(dataset)}", scale, height=2.6) as (
        figure,
        (axes,),
    ):
        norm = shared_norm(shown.values())
        heatmap(axes, labelled, [*LOSSES.values()], [*SIZES.values()], norm, texts, fontsize=6.5)
        axes.set_xlabel("margin")
        axes.set_ylabel("loss")
        if any(interval.n for interval in shown.values()):
            colour_bar(figure, (axes,), norm, "top-1 accuracy (%)", "bottom")
    caption = CAPTION.format(
        dataset=dataset_name(dataset),
        alpha=power_of_ten(MetAugHyper.model_validate({}).alpha),
        paper=PAPER if dataset == DATASET else "",
    ).strip()
    return Drawing(
        figure,
        data_of(shown, "loss", "margin_size", published=published),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values()),
    )
