"""Figure 3: attenuating the weights Γ of the unified loss by φ_dec."""

from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
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
    positions,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.results import NOT_RUN, Query, Results
from metaug.reporting.style import GREY, method_style

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


NO_WEIGHTS = ("no_weights", "")
"""The place of Eq. 8, beside ("decayed", φ_dec)."""


def cells(grid: Grid) -> dict[tuple[str, Any], Query]:
    """Only OUCL with attenuated weights, and without weights."""
    changes: dict[tuple[str, Any], dict[str, Any]] = {
        ("decayed", decay): {"loss": "weighted", "decay": decay}
        for decay in grid.values("figure3.decay", DECAYS)
    }
    changes[NO_WEIGHTS] = {"loss": "unified", "margin": NO_WEIGHTS_MARGIN}
    return {
        place: Query(grid.spec(method, dataset, **change), "conv")
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug_oucl",))
        for place, change in changes.items()
    }


def render(grid: Grid, results: Results) -> Drawing:
    """One curve over φ_dec, and a level for no Γ."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    decayed = {decay: interval for (line, decay), interval in shown.items() if line == "decayed"}
    with canvas(f"Attenuated weights Γ, {dataset_name(dataset)}", scale, height=2.7) as (
        figure,
        (axes,),
    ):
        curve(axes, decayed, method_style("metaug_oucl"), r"$\Gamma\,/\,\varphi_\mathrm{dec}$")
        level(axes, shown.get(NO_WEIGHTS, NOT_RUN), r"no $\Gamma$")
        if dataset == DATASET:
            axes.axvline(
                PUBLISHED_BEST, color=GREY, linestyle=":", linewidth=0.9, label="the paper's best"
            )
        note_if_empty(axes, shown.values())
        axes.set_xlim(DECAYS[0] - 0.4, DECAYS[-1] + 0.4)
        positions(axes, DECAYS)
        axes.set_xlabel(r"$\varphi_\mathrm{dec}$")
        accuracy_axis(axes, "conv")
        legend(figure, axes, columns=3)
    caption = CAPTION.format(dataset=dataset_name(dataset))
    return Drawing(
        figure,
        data_of(shown, "line", "phi_dec"),
        full_caption(
            (caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values(), dots=True
        ),
    )
