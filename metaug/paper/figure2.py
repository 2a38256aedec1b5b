"""Figure 2: similarities of positive and negative pairs, with and without margin injection."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from metaug.config import Grid
from metaug.paper.cells import (
    Value,
    dataset_of,
    rows_of,
    scale_of,
    settings_by,
    stand_in_note,
)
from metaug.reporting.aggregate import interval_of
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
from metaug.reporting.statistics import Interval
from metaug.reporting.style import BLUE, TEXT_WIDTH, VERMILLION
from metaug.spec import TrialSpec

DATASET = "cifar10"
DEFAULT_ALPHA = 1e-11
ALPHAS = {"with": DEFAULT_ALPHA, "without": 0.0}
FEATURES = {"original": "original features", "with_augmented": "original and augmented"}
LOOKS = {"positive": (BLUE, "-"), "negative": (VERMILLION, "--")}
BINS = 50
CAPTION = (
    "Similarity (1 + cosine) / 2 of pairs of features of different views after training: pairs of "
    "one image (positive) and of two images (negative), among original features and among "
    "original and augmented ones together; with margin-injected regularisation (α = {alpha}) and "
    "without it (α = 0). Vertical lines: means. An original feature is not paired with the "
    "augmented feature of its own view (choice). The paper names no data set for this figure; "
    "this is {dataset}."
)


def trials(grid: Grid) -> list[TrialSpec]:
    """MetAug at its default, and without the regularisation."""
    return [
        grid.spec(method, dataset, alpha=alpha)
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(("metaug",))
        for alpha in ALPHAS.values()
    ]


def render(frame: pd.DataFrame) -> Drawing:
    """Four panels: with or without the margin, original or all features."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    found = _distributions(frame, dataset)
    with canvas(
        f"Similarity of feature pairs, {dataset_name(dataset)}",
        scale,
        width=TEXT_WIDTH,
        height=3.6,
        rows=2,
        columns=2,
        share=True,
    ) as (figure, panels):
        places = [(margin, features) for margin in ALPHAS for features in FEATURES]
        for axes, (margin, features) in zip(panels, places, strict=True):
            drawn = [pairs for pairs in LOOKS if (margin, features, pairs) in found]
            for pairs in drawn:
                _draw(axes, found[margin, features, pairs], pairs)
            axes.set_title(f"{margin} margin: {FEATURES[features]}")
            note_if_empty(axes, not drawn)
        panels[0].set_xlim(0, 1)
        positions(panels[0], (0, 0.25, 0.5, 0.75, 1))
        panels[0].set_ylim(bottom=0)
        for axes in panels[2:]:
            axes.set_xlabel("similarity")
        for axes in panels[::2]:
            axes.set_ylabel("share of pairs (%)")
        legend(figure, panels[0], columns=2)
    caption = CAPTION.format(alpha=power_of_ten(DEFAULT_ALPHA), dataset=dataset_name(dataset))
    data = data_of(
        {(*place, name): v for place, parts in found.items() for name, v in parts.items()},
        *("margin", "features", "pairs", "metric"),
    )
    return Drawing(
        figure,
        data,
        full_caption(
            (caption, *stand_in_note((dataset,), (DATASET,))),
            scale,
            (interval for parts in found.values() for interval in parts.values()),
        ),
    )


def _distributions(
    frame: pd.DataFrame, dataset: str
) -> dict[tuple[str, str, str], dict[str, Interval]]:
    """By margin, features and pairs: the histogram's shares and the mean, by metric."""
    metrics = ["mean_similarity", *(f"histogram_{i:02d}" for i in range(BINS))]
    rows = rows_of(frame, method="metaug", dataset=dataset, backbone="alexnet", probe="")
    rows = rows[rows["metric"].isin(metrics)]
    defaults: dict[str, Value] = {"alpha": DEFAULT_ALPHA, "features": "", "pairs": ""}
    settings = settings_by(rows, defaults)
    trials = {
        setting: own.pivot(index="trial", columns="metric", values="value")
        for setting, own in rows.groupby("setting")
    }
    return {
        (margin, features, pairs): {
            metric: interval_of(trials[settings[alpha, features, pairs]][metric], ())
            for metric in metrics
        }
        for margin, alpha in ALPHAS.items()
        for features in FEATURES
        for pairs in LOOKS
        if (alpha, features, pairs) in settings
    }


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
