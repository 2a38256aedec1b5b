"""Figure 7: the margin γ of OUCL."""

from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
from metaug.paper.published import printed
from metaug.reporting.figures import (
    Drawing,
    accuracy_axis,
    canvas,
    curve,
    data_of,
    full_caption,
    legend,
    mark_published,
    note_if_empty,
    positions,
)
from metaug.reporting.names import dataset_name
from metaug.reporting.results import Query, Results
from metaug.reporting.style import method_style

DATASET = "tiny_imagenet"
GAMMAS = (0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50)
PRINTED_GAMMA = 0.40
CAPTION = "Top-1 accuracy of MetAug (only OUCL) over the margin γ, AlexNet fc, {dataset}."
PAPER = (
    "The paper prints 41.46, 41.55, 42.06 and 42.14 on its curve; only the last can be told to a "
    "γ, 0.40, from its Table 1."
)


def cells(grid: Grid) -> dict[tuple[float], Query]:
    """Only OUCL by γ."""
    return {
        (gamma,): Query(grid.spec(method, dataset, gamma=gamma), "fc")
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug_oucl",))
        for gamma in grid.values("figure7.gamma", GAMMAS)
    }


def render(grid: Grid, results: Results) -> Drawing:
    """One curve, and the published value."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    points = {gamma: interval for (gamma,), interval in shown.items()}
    paper = printed("figure7")[f"{PRINTED_GAMMA:g}", ""].value
    on_paper = dataset == DATASET
    with canvas(f"Margin γ of OUCL, {dataset_name(dataset)}", scale, height=2.6) as (
        figure,
        (axes,),
    ):
        curve(axes, points, method_style("metaug_oucl"), "ours")
        note_if_empty(axes, points.values())
        if on_paper:
            mark_published(axes, PRINTED_GAMMA, paper, "paper")
        axes.set_xlim(GAMMAS[0] - 0.02, GAMMAS[-1] + 0.02)
        positions(axes, GAMMAS)
        axes.set_xlabel("γ")
        accuracy_axis(axes, "fc")
        legend(figure, axes, columns=2)
    sentences = [CAPTION.format(dataset=dataset_name(dataset))]
    if on_paper:
        sentences.append(PAPER)
    return Drawing(
        figure,
        data_of(shown, "gamma", published={(PRINTED_GAMMA,): paper} if on_paper else {}),
        full_caption(
            (*sentences, *stand_in_note((dataset,), (DATASET,))), scale, shown.values(), dots=True
        ),
    )
