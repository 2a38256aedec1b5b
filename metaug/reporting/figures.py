"""What the figures have in common: a drawing with its data and caption, curves and heatmaps."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from metaug.reporting.names import SCALE_NOTES, ScaleTexts
from metaug.reporting.results import NOT_RUN, failed_of, values_of
from metaug.reporting.statistics import FEWEST_TRIALS, NAN, Interval
from metaug.reporting.style import COLUMN_WIDTH, GREY, MethodStyle, plot_style, save_figure

SCALE_TITLES = ScaleTexts(
    {
        "smoke": "smoke scale: a check of the plumbing",
        "lite": "lite scale: reduced data and training",
        "full": "full scale",
    },
    own="scale {}, a user's own",
)
"""Second line of every plot title."""

NEAR = 5.0
"""Published accuracies further than this from ours, in points, are named at the edge of the plot:
drawn in place they would squeeze our curve into a line."""


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers that it shows, and its caption."""

    figure: Figure
    data: pd.DataFrame
    caption: str


def write_drawing(drawing: Drawing, stem: Path | str) -> None:
    """Write `stem`.pdf, .png and .csv, each atomically."""
    save_figure(drawing.figure, stem, drawing.data)


@contextmanager
def canvas(
    title: str,
    scale: str,
    *,
    height: float,
    width: float = COLUMN_WIDTH,
    rows: int = 1,
    columns: int = 1,
    share: bool = False,
    row_heights: Sequence[float] | None = None,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """An empty figure under a title with the scale, and its axes row by row. Draw inside this.

    Args:
        title: first line of the title.
        scale: its second line is that of `SCALE_TITLES`.
        height, width: inches.
        rows, columns: of axes.
        share: one x axis and one y axis for all.
        row_heights: of the rows, in relation to each other; all equal by default.
    """
    with plot_style():
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(
            rows,
            columns,
            squeeze=False,
            sharex=share,
            sharey=share,
            height_ratios=row_heights,
        )
        figure.suptitle(f"{title}\n{SCALE_TITLES[scale]}", fontsize=8)
        yield figure, list(axes.flat)


PAIRED_NOTE = (
    "Trials of the same number share their draws, so that a difference is surer than the intervals "
    "of its two sides."
)


def full_caption(
    sentences: Iterable[str], scale: str, intervals: Iterable[Interval], *, dots: bool = False
) -> str:
    """The caption with the scale and the number of trials; `dots`: it has a dot for each trial."""
    intervals = list(intervals)
    failures = dict.fromkeys(text for interval in intervals for text in failed_of(interval))
    failed = f"Left out because they failed: {'; '.join(failures)}." if failures else ""
    counts = sorted({interval.n for interval in intervals if interval.n})
    if not counts:
        return " ".join(filter(None, (*sentences, failed or "Nothing has been run.")))
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    trials = f"Means over n = {n} trial{'' if counts == [1] else 's'}"
    bars = ", 95 % t-intervals" if counts[-1] >= FEWEST_TRIALS else ""
    single = "; small dots are single trials" if dots and counts[-1] > 1 else ""
    few = dots and bars and counts[0] < FEWEST_TRIALS
    hollow = f"; hollow marks have fewer than {FEWEST_TRIALS}" if few else ""
    paired = PAIRED_NOTE if bars else ""
    notes = (*sentences, SCALE_NOTES[scale], f"{trials}{bars}{single}{hollow}.", paired, failed)
    return " ".join(filter(None, notes))


def data_of(
    intervals: Mapping[Any, Interval],
    *names: str,
    published: Mapping[Any, float] | None = None,
) -> pd.DataFrame:
    """The data behind a figure: a row for each interval, its key (a tuple) under `names`, then
    mean, ci95, n and, if given, the published value by the same key."""
    columns = [*names, "mean", "ci95", "n"]
    data = pd.DataFrame([(*key, *interval) for key, interval in intervals.items()], columns=columns)
    if published is not None:
        data["published"] = [published.get(key, NAN) for key in intervals]
    return data


def curve(
    axes: Axes, points: Mapping[float, Interval], style: MethodStyle, label: str, dodge: float = 1
) -> None:
    """Means with error bars, joined by a line; points that were not run are left out.

    Each trial is a small dot, where there are several. Fewer than `FEWEST_TRIALS` have no bar and a
    hollow mark. `dodge` moves the points, by a factor, so that bars of several curves stand side by
    side.
    """
    run = {x: points[x] for x in sorted(points) if points[x].n}
    if not run:
        return
    axes.errorbar(
        [x * dodge for x in run],
        [point.mean for point in run.values()],
        yerr=[p.half_width if p.n >= FEWEST_TRIALS else NAN for p in run.values()],
        color=style.color,
        marker=style.marker,
        linestyle=style.linestyle,
        elinewidth=0.8,
        label=label,
    )
    for x, point in run.items():
        if point.n < FEWEST_TRIALS:
            axes.plot(
                x * dodge,
                point.mean,
                color=style.color,
                marker=style.marker,
                markerfacecolor="white",
                zorder=3,
            )
        if len(values := values_of(point)) > 1:
            places = [x * dodge] * len(values)
            axes.plot(places, values, ".", color=style.color, markersize=3, alpha=0.5)


def level(axes: Axes, interval: Interval, label: str) -> None:
    """A horizontal line with a band: a quantity that does not depend on x."""
    if not interval.n:
        return
    axes.axhline(interval.mean, color=GREY, linestyle="--", label=label)
    if not math.isnan(interval.half_width):
        low, high = interval.mean - interval.half_width, interval.mean + interval.half_width
        axes.axhspan(low, high, color=GREY, alpha=0.15, linewidth=0)


def accuracy_axis(axes: Axes, readout: str) -> None:
    """Name the y axis, with the read-out; it ends at 100 %, even where an interval does not. Call
    it after all else has been drawn."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 100))
    axes.set_ylabel(f"top-1 accuracy, {readout} (%)")


def positions(axes: Axes, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Ticks of the x axis at exactly these values."""
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{value:g}" for value in values] if labels is None else labels)


def mark_published(axes: Axes, x: float, value: float, label: str) -> None:
    """A published number: a star in place if it is within `NEAR` of ours, else a note at the edge,
    for which some room is made.

    Call it after our curves have been drawn.
    """
    low, high = axes.get_ylim()
    if not axes.lines or low - NEAR <= value <= high + NEAR:
        axes.plot(x, value, "*", color="white", markeredgecolor="black", markersize=9, zorder=5)
        axes.plot([], [], "*", color="white", markeredgecolor="black", markersize=7, label=label)
        return
    edge, arrow = (1.0, "↑") if value > high else (0.0, "↓")
    room = 0.12 * (high - low)
    axes.set_ylim(low if edge else low - room, high + room if edge else high)
    axes.annotate(
        f"{label}: {value:g} {arrow}",
        (x, edge),
        xycoords=("data", "axes fraction"),
        xytext=(0, -3 if edge else 3),
        textcoords="offset points",
        ha="center",
        va="top" if edge else "bottom",
        fontsize=6.5,
        zorder=5,
    )


def heatmap(
    axes: Axes,
    cells: Mapping[tuple[str, str], Interval],
    rows: Sequence[str],
    columns: Sequence[str],
    norm: Normalize,
    texts: Mapping[tuple[str, str], str],
    fontsize: float,
) -> None:
    """Means as colours, with a text in each cell; cells that were not run stay blank, with a dash.

    Args:
        cells: intervals by (row, column).
        rows, columns: labels, from the top and from the left.
        norm: from `shared_norm`, so that all panels of a figure have one scale of colours.
        texts: what is written into cells that were run.
    """
    means = np.array([[cells.get((r, c), NOT_RUN).mean for c in columns] for r in rows])
    image = axes.imshow(means, norm=norm, aspect="auto")
    axes.set_facecolor("0.93")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(False)
    axes.tick_params(length=0)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            mean = means[i, j]
            red, green, blue, _ = image.cmap(norm(mean)) if mean == mean else (1, 1, 1, 1)
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
            axes.text(
                j,
                i,
                texts[row, column] if mean == mean else "–",
                color="black" if light else "white",
                ha="center",
                va="center",
                fontsize=fontsize,
                linespacing=1.1,
            )


def shared_norm(intervals: Iterable[Interval]) -> Normalize:
    """One scale of colours for all means."""
    means = [interval.mean for interval in intervals if interval.n]
    return Normalize(min(means), max(means)) if means else Normalize(0, 1)


def colour_bar(
    figure: Figure, axes: Sequence[Axes], norm: Normalize, label: str, location: str = "right"
) -> None:
    """The key to the colours of heatmaps."""
    mappable = ScalarMappable(norm, colormaps["cividis"])
    bar = figure.colorbar(mappable, ax=axes, label=label, location=location, aspect=30, pad=0.02)
    bar.outline.set_visible(False)


def legend(figure: Figure, axes: Axes, columns: int) -> None:
    """The key to the curves of a plot, if there are several; below it, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def note_if_empty(axes: Axes, intervals: Iterable[Interval]) -> None:
    """Say so in a plot of which no trial has been run, and take the numbers off its y axis."""
    if not any(interval.n for interval in intervals):
        axes.set_yticklabels([])
        axes.text(
            0.5,
            0.75,
            "nothing has been run",
            transform=axes.transAxes,
            ha="center",
            color=GREY,
            backgroundcolor="white",
        )
