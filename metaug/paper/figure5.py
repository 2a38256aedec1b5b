"""Figure 5: kind of loss against size of the injected margin."""

import math
from typing import Any

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import Value, dataset_of, intervals_by, scale_of, stand_in_note
from metaug.paper.published import published_value
from metaug.reporting.figures import (
    NOTHING,
    Drawing,
    canvas,
    colour_bar,
    data_of,
    full_caption,
    heatmap,
    shared_norm,
)
from metaug.reporting.names import dataset_name, power_of_ten
from metaug.spec import TrialSpec

DATASET = "cifar100"
LOSSES = {"oucl": "OUCL", "contrastive": "contrastive"}
SIZES = {"none": "none", "small": "Small", "medium": "Medium", "large": "Large"}
DEFAULT_ALPHA = 1e-11
CAPTION = (
    "Top-1 accuracy of MetAug over the loss and the size of the injected margin, AlexNet fc, "
    "{dataset}. None: no margin-injected regularisation (α = 0, else {alpha}). {paper}"
)
PAPER = (
    "In small type: the paper's number. It prints seven more, 60.77, 60.59, 60.40, 59.74, 60.28, "
    "59.80 and 59.63, whose cells cannot be told."
)


def changes(loss: str, size: str) -> dict[str, Any]:
    """What a cell of the figure changes in MetAug's spec."""
    return {"loss": loss, **({"alpha": 0.0} if size == "none" else {"margin_size": size})}


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug with each loss and margin."""
    return [
        grid.spec(method, dataset, **changes(loss, size))
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for loss in LOSSES
        for size in SIZES
    ]


def render(frame: pd.DataFrame) -> Drawing:
    """A heatmap, losses by margins."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    defaults: dict[str, Value] = {"loss": "oucl", "margin_size": "large", "alpha": DEFAULT_ALPHA}
    found = intervals_by(
        frame,
        defaults,
        method="metaug",
        dataset=dataset,
        backbone="alexnet",
        probe="fc",
        metric="top1",
    )
    cells, published, texts = {}, {}, {}
    for loss in LOSSES:
        for size in SIZES:
            values = defaults | changes(loss, size)
            ours = found.get(tuple(values[key] for key in defaults), NOTHING)
            setting = f"loss={loss};margin={size}"
            printed = published_value("figure5", "metaug", dataset, "fc", "top1", setting).value
            cells[loss, size], published[loss, size] = ours, printed
            texts[LOSSES[loss], SIZES[size]] = "\n".join(
                part
                for part, known in (
                    (f"{ours.mean:.2f}", True),
                    (f"± {ours.half_width:.2f}", not math.isnan(ours.half_width)),
                    (f"paper {printed:.2f}", not math.isnan(printed)),
                )
                if known
            )
    with canvas(f"Loss and margin, {dataset_name(dataset)}", scale, height=2.6) as (
        figure,
        (axes,),
    ):
        norm = shared_norm(cells.values())
        labelled = {(LOSSES[loss], SIZES[size]): v for (loss, size), v in cells.items()}
        heatmap(axes, labelled, [*LOSSES.values()], [*SIZES.values()], norm, texts, fontsize=6.5)
        axes.set_xlabel("margin")
        axes.set_ylabel("loss")
        if found:
            colour_bar(figure, (axes,), norm, "top-1 accuracy (%)", "bottom")
    caption = CAPTION.format(
        dataset=dataset_name(dataset),
        alpha=power_of_ten(DEFAULT_ALPHA),
        paper=PAPER if dataset == DATASET else "",
    ).strip()
    return Drawing(
        figure,
        data_of(cells, "loss", "margin_size", published=published),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, cells.values()),
    )
