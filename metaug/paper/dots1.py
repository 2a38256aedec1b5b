"""Table 1 as a dot plot: what every method gains over its own untrained network."""

from collections.abc import Collection, Mapping

import pandas as pd
from matplotlib.axes import Axes

from metaug.grid import Grid
from metaug.paper import table1
from metaug.paper.cells import TablePlace, intervals
from metaug.paper.floors import FLOOR, floor_query
from metaug.paper.notes import dataset_heading, dataset_notes, user_data_notes
from metaug.paper.published import printed
from metaug.reporting.figures import Drawing, canvas, data_of, full_caption, note_if_empty
from metaug.reporting.names import NOT_RANKED, method_name
from metaug.reporting.results import NOT_RUN, CellInterval, Query, Results, values_of
from metaug.reporting.statistics import FEWEST_TRIALS, NAN
from metaug.reporting.style import BLUE, ORANGE

ROW_HEIGHT = 0.24  # inches
LOOKS = {"conv": (BLUE, "o", -0.17), "fc": (ORANGE, "s", 0.17)}
"""Colour, marker and place beside the middle of a row, by read-out."""

CAPTION = (
    "Top-1 accuracy of linear probes (Table 1) as gain over the untrained network of the same "
    "views and widths, in points, paired by trial; AlexNet conv and fc, most gain above. In "
    "brackets stand the ranks among the self-supervised methods by the numbers that the paper "
    "prints, on conv and on fc. Data sets without trials are left out, and methods where they have "
    "none."
)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """Those of Table 1, floors among them."""
    return table1.cells(grid)


def render(grid: Grid, results: Results) -> Drawing:
    """One panel for each data set, a row for each method, a mark for each read-out."""
    every = grid.all_datasets(*table1.DATASETS) or table1.DATASETS[:1]
    queries, scale = cells(grid), grid.scale.name
    gains = {
        place: results.difference(query, floor_query(grid, query))
        for place, query in queries.items()
        if query.spec.method != FLOOR
    }
    columns = {d: {probe: f"{d}_{probe}" for probe in LOOKS} for d in every}
    methods = {d: _methods_run(gains, columns[d].values()) for d in every}
    datasets = [d for d in every if methods[d]] or [every[0]]
    ranks = paper_ranks()
    heights = [0.7 + ROW_HEIGHT * max(2, len(methods[d])) for d in datasets]
    with canvas(
        "Table 1: gain over the untrained network",
        scale,
        height=0.9 + sum(heights),
        rows=len(datasets),
        row_heights=heights,
    ) as (figure, panels):
        for axes, dataset in zip(panels, datasets, strict=True):
            shown = {
                m: {p: gains.get((m, c), NOT_RUN) for p, c in columns[dataset].items()}
                for m in methods[dataset]
            }
            _panel(axes, shown, [ranks.get(column, {}) for column in columns[dataset].values()])
            axes.set_title(dataset_heading(dataset))
            axes.set_xlabel("gain in top-1 accuracy (points)")
        if methods[datasets[0]]:
            panels[0].legend(loc="lower right", frameon=True)  # beside the rows of least gain
    notes = (*dataset_notes(datasets, table1.DATASETS), *user_data_notes(grid))
    return Drawing(
        figure,
        _data(intervals(queries, results), gains, ranks),
        full_caption((CAPTION, *notes), scale, gains.values(), dots=True),
    )


def _methods_run(gains: Mapping[TablePlace, CellInterval], columns: Collection[str]) -> list[str]:
    """The methods that have a trial in one of these columns, in the order of the table."""
    return list(dict.fromkeys(m for (m, c), gain in gains.items() if c in columns and gain.n))


def paper_ranks() -> dict[str, dict[str, int]]:
    """By column and method, the rank of the number that the paper prints; 1 is best."""
    values = pd.Series({key: value.value for key, value in printed("table1").items()}).unstack()
    ranked = values.loc[[m for m in table1.METHODS if m not in NOT_RANKED]]
    return {
        str(column): {str(m): int(r) for m, r in ranks.dropna().items()}
        for column, ranks in ranked.rank(ascending=False, method="min").items()
    }


def _panel(
    axes: Axes,
    shown: Mapping[str, Mapping[str, CellInterval]],
    ranks: list[dict[str, int]],
) -> None:
    """The gains of methods by read-out on a data set, and the paper's ranks there."""

    def most(method: str) -> float:
        means = [interval.mean for interval in shown[method].values() if interval.n]
        return -sum(means) / len(means) if means else float("inf")

    methods = sorted(shown, key=most)
    axes.axvline(0, color="black", linewidth=0.8)
    for probe, (color, marker, shift) in LOOKS.items():
        for row, method in enumerate(methods):
            interval = shown[method][probe]
            values = values_of(interval)
            axes.plot(
                values, [row + shift] * len(values), ".", color=color, markersize=3, alpha=0.6
            )
            axes.errorbar(
                interval.mean,
                row + shift,
                xerr=interval.half_width if interval.n >= FEWEST_TRIALS else NAN,
                color=color,
                marker=marker,
                markerfacecolor=color if interval.n >= FEWEST_TRIALS else "white",
                markersize=4,
                linewidth=0,
                elinewidth=1,
                label=probe if row == 0 else None,
            )
    labels = []
    for method in methods:
        printed_ranks = ", ".join(str(rank[method]) for rank in ranks if method in rank)
        labels.append(method_name(method) + (f" ({printed_ranks})" if printed_ranks else ""))
    axes.set_yticks(range(len(methods)), labels)
    axes.set_ylim(max(len(methods), 1) - 0.5, -0.5)
    note_if_empty(axes, [interval for row in shown.values() for interval in row.values()])


def _data(
    shown: Mapping[TablePlace, CellInterval],
    gains: Mapping[TablePlace, CellInterval],
    ranks: Mapping[str, Mapping[str, int]],
) -> pd.DataFrame:
    """Means, gains and the paper's ranks, by method or floor and by column."""
    data = data_of(shown, "method", "column")
    data["gain"] = [gains.get(place, NOT_RUN).mean for place in shown]
    data["gain_ci95"] = [gains.get(place, NOT_RUN).half_width for place in shown]
    data["papers_rank"] = [ranks.get(column, {}).get(row, NAN) for row, column in shown]
    return data
