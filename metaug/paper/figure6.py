"""Figure 6: weight α of the regularisation, inverse temperature β, weight δ of augmentation."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
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
from metaug.reporting.style import TEXT_WIDTH

DATASET = "cifar10"
VALUES: dict[str, tuple[float, ...]] = {
    "alpha": (1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13, 1e-15, 1e-17),
    "beta": (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
    "delta": (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
}
PANELS = (
    ("beta", "delta", "alpha", 1e-13),
    ("alpha", "beta", "delta", 1e-5),
    ("alpha", "delta", "beta", 16.0),
)
"""Rows, columns, and the third one with the value at which it is held."""

HELD: dict[str, Any] = {name: value for _, _, name, value in PANELS}

SYMBOLS = {"alpha": "α", "beta": "β", "delta": "δ"}
TEXTS: dict[str, Callable[[float], str]] = {
    "alpha": power_of_ten,
    "beta": lambda value: f"{value:g}",
    "delta": power_of_ten,
}
CAPTION = (
    "Top-1 accuracy of MetAug over the weight α of the margin-injected regularisation, the inverse "
    "temperature β and the weight δ of the loss with augmented features, AlexNet fc, {dataset}. "
    "The paper holds α at 10⁻¹³ in its study of β and δ; that δ is held at 10⁻⁵ and β at 16 in the "
    "others is a choice. It prints no numbers here."
)


def cells(grid: Grid) -> dict[tuple[str, float, float, float], Query]:
    """MetAug over each two of α, β and δ, the third one held: by panel, row, column, held value."""
    values = {key: grid.values(f"figure6.{key}", default) for key, default in VALUES.items()}

    def query(method: str, dataset: str, **changes: Any) -> Query:
        return Query(grid.spec(method, dataset, **changes), "fc")

    return {
        (f"{row}-{column}", y, x, at): query(method, dataset, **{row: y, column: x, held: at})
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for row, column, held, at in PANELS
        for y, x in product(values[row], values[column])
    }


def render(grid: Grid, results: Results) -> Drawing:
    """Three heatmaps with one scale of colours."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    with canvas(
        f"α, β and δ, {dataset_name(dataset)}", scale, width=TEXT_WIDTH, height=2.5, columns=3
    ) as (figure, panels):
        norm = shared_norm(shown.values())
        for axes, (row, column, held, at) in zip(panels, PANELS, strict=True):
            ys = grid.values(f"figure6.{row}", VALUES[row])
            xs = grid.values(f"figure6.{column}", VALUES[column])
            labelled = {
                (TEXTS[row](y), TEXTS[column](x)): interval
                for (panel, y, x, _), interval in shown.items()
                if panel == f"{row}-{column}"
            }
            heatmap(
                axes,
                labelled,
                [*map(TEXTS[row], ys)],
                [*map(TEXTS[column], xs)],
                norm,
                {place: f"{interval.mean:.1f}" for place, interval in labelled.items()},
                fontsize=5 if len(xs) > 4 else 7,
            )
            axes.tick_params(labelsize=5.5 if len(xs) > 4 else 7)
            axes.set_title(f"{SYMBOLS[held]} = {TEXTS[held](at)}")
            axes.set_ylabel(SYMBOLS[row], rotation=0, va="center", labelpad=8)
            axes.set_xlabel(SYMBOLS[column])
        if any(interval.n for interval in shown.values()):
            colour_bar(figure, panels, norm, "top-1 accuracy (%)")
    caption = CAPTION.format(dataset=dataset_name(dataset))
    widths = [v.half_width for v in shown.values() if not math.isnan(v.half_width)]
    mean_width = (
        f"Mean half-width of the intervals: {sum(widths) / len(widths):.2f}." if widths else ""
    )
    sentences = (caption, mean_width, *stand_in_note((dataset,), (DATASET,)))
    return Drawing(
        figure,
        data_of(shown, "panel", "row", "column", "held"),
        full_caption(filter(None, sentences), scale, shown.values()),
    )
