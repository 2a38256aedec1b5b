"""Figure 2: similarities of positive and negative pairs, with and without margin injection."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from metaug.algorithm.hyper import MetAugHyper
from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
from metaug.reporting.figures import (
    Drawing,
    canvas,
    data_of,
    full_caption,
    legend,
    note_if_empty,
    positions,
)
from metaug.reporting.names import dataset_name, power_of_ten
from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import Interval
from metaug.reporting.style import BLUE, TEXT_WIDTH, VERMILLION

DATASET = "cifar10"
MARGINS: dict[str, dict[str, Any]] = {"with": {}, "without": {"alpha": 0.0}}
"""What each changes in MetAug's defaults."""

FEATURES = {"original": "original features", "with_augmented": "original and augmented"}
LOOKS = {"positive": (BLUE, "-"), "negative": (VERMILLION, "--")}
BINS = 50
METRICS = ("mean_similarity", *(f"histogram_{i:02d}" for i in range(BINS)))
"""The mean and the histogram's shares."""

CAPTION = (
    "Similarity (1 + cosine) / 2 of pairs of features of different views after training: pairs of "
    "one image (positive) and of two images (negative), among original features and among "
    "original and augmented ones together; with margin-injected regularisation (α = {alpha}) and "
    "without it (α = 0). Vertical lines: means. An original feature is not paired with the "
    "augmented feature of its own view (choice). The paper names no data set for this figure; "
    "this is {dataset}."
)


def cells(grid: Grid) -> dict[tuple[str, str, str, str], Query]:
    """MetAug with and without the regularisation: by margin, features, pairs and metric."""
    return {
        (margin, features, pairs, metric): Query(
            spec, f";features={features};pairs={pairs}", metric
        )
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for margin, change in MARGINS.items()
        for spec in [grid.spec(method, dataset, **change)]
        for features in FEATURES
        for pairs in LOOKS
        for metric in METRICS
    }


def render(grid: Grid, results: Results) -> Drawing:
    """Four panels: with or without the margin, original or all features."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    with canvas(
        f"Similarity of feature pairs, {dataset_name(dataset)}",
        scale,
        width=TEXT_WIDTH,
        height=3.6,
        rows=2,
        columns=2,
        share=True,
    ) as (figure, panels):
        places = [(margin, features) for margin in MARGINS for features in FEATURES]
        for axes, place in zip(panels, places, strict=True):
            drawn = {key: interval for key, interval in shown.items() if key[:2] == place}
            for pairs in LOOKS:
                parts = {key[3]: interval for key, interval in drawn.items() if key[2] == pairs}
                if any(interval.n for interval in parts.values()):
                    _draw(axes, parts, pairs)
            margin, features = place
            axes.set_title(f"{margin} margin: {FEATURES[features]}")
            note_if_empty(axes, drawn.values())
        panels[0].set_xlim(0, 1)
        positions(panels[0], (0, 0.25, 0.5, 0.75, 1))
        panels[0].set_ylim(bottom=0)
        for axes in panels[2:]:
            axes.set_xlabel("similarity")
        for axes in panels[::2]:
            axes.set_ylabel("share of pairs (%)")
        legend(figure, panels[0], columns=2)
    alpha = power_of_ten(MetAugHyper.model_validate({}).alpha)
    caption = CAPTION.format(alpha=alpha, dataset=dataset_name(dataset))
    return Drawing(
        figure,
        data_of(shown, "margin", "features", "pairs", "metric"),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values()),
    )


def _draw(axes: Axes, parts: Mapping[str, Interval], pairs: str) -> None:
    """One histogram with the band of its intervals, and a line at the mean."""
    color, linestyle = LOOKS[pairs]
    mean, *bins = parts.values()
    edges = np.linspace(0, 1, BINS + 1)
    shares = np.array([interval.mean for interval in bins]) * 100
    half_widths = np.nan_to_num([interval.half_width for interval in bins]) * 100
    low, high = np.maximum(shares - half_widths, 0), shares + half_widths
    axes.stairs(high, edges, baseline=low, color=color, alpha=0.3, fill=True, linewidth=0)
    axes.stairs(shares, edges, color=color, linestyle=linestyle, label=f"{pairs} pairs")
    axes.axvline(mean.mean, color=color, linestyle=linestyle, linewidth=0.8)
