"""Figure 3: attenuating the weights Γ of the unified loss by φ_dec."""

from typing import Any

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import Value, dataset_of, intervals_by, scale_of, stand_in_note
from metaug.reporting.figures import (
    NOTHING,
    Drawing,
    accuracy_axis,
    canvas,
    curve,
    data_of,
    full_caption,
    legend,
    level,
    note_if_empty,
    positions,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.style import GREY, method_style
from metaug.spec import TrialSpec

DATASET = "tiny_imagenet"
DECAYS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
GAMMA = 0.40
NO_WEIGHTS_MARGIN = round(1 - 2 * GAMMA, 10)
"""λ that Eq. 9 leaves behind when its weights Γ are 1."""

PUBLISHED_BEST = 6
CAPTION = (
    "Top-1 accuracy of MetAug (only OUCL) over the attenuation φ_dec of the weights Γ, AlexNet "
    "conv, {dataset}. Γ is divided by φ_dec (choice: the paper's formula is not legible in our "
    "copy); φ_dec = 1 is Eq. 9 as printed, which equals Eq. 10. No Γ: Eq. 8 with λ = 1 − 2γ, what "
    "Eq. 9 becomes with Γ = 1 (choice). The paper prints no numbers; its curve is best at "
    "φ_dec = 6."
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Only OUCL with attenuated weights, and without weights."""
    decays = grid.values("figure3.decay", DECAYS)
    changes: list[dict[str, Any]] = [{"loss": "weighted", "decay": decay} for decay in decays]
    changes.append({"loss": "unified", "margin": NO_WEIGHTS_MARGIN})
    return [
        grid.spec(method, dataset, **change)
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug_oucl",))
        for change in changes
    ]


def render(frame: pd.DataFrame) -> Drawing:
    """One curve over φ_dec, and a level for no Γ."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    defaults: dict[str, Value] = {"loss": "oucl", "decay": 1.0, "margin": 0.0}
    found = intervals_by(
        frame,
        defaults,
        method="metaug_oucl",
        dataset=dataset,
        backbone="alexnet",
        probe="conv",
        metric="top1",
    )
    decayed = {
        float(decay): interval for (loss, decay, _), interval in found.items() if loss == "weighted"
    }
    without = found.get(("unified", 1.0, NO_WEIGHTS_MARGIN), NOTHING)
    with canvas(f"Attenuated weights Γ, {dataset_name(dataset)}", scale, height=2.7) as (
        figure,
        (axes,),
    ):
        curve(axes, decayed, method_style("metaug_oucl"), r"$\Gamma\,/\,\varphi_\mathrm{dec}$")
        level(axes, without, r"no $\Gamma$")
        if dataset == DATASET:
            axes.axvline(
                PUBLISHED_BEST, color=GREY, linestyle=":", linewidth=0.9, label="the paper's best"
            )
        note_if_empty(axes, not (decayed or without.n))
        axes.set_xlim(DECAYS[0] - 0.4, DECAYS[-1] + 0.4)
        positions(axes, DECAYS)
        axes.set_xlabel(r"$\varphi_\mathrm{dec}$")
        accuracy_axis(axes)
        legend(figure, axes, columns=3)
    shown = {("decayed", x): decayed[x] for x in sorted(decayed)} | {("no_weights", ""): without}
    caption = CAPTION.format(dataset=dataset_name(dataset))
    return Drawing(
        figure,
        data_of(shown, "line", "phi_dec"),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values()),
    )
