"""The dot plot of Table 1: gains over the own floor, with the paper's ranks."""

import pytest

from metaug.paper import dots1
from tests.paper.synthetic import NOTHING, mean_of, plan_of, render_of, results_from

LITE = plan_of("lite")


def row(method: str, column: str):
    data = render_of("lite", dots1).data
    (found,) = data[(data["method"] == method) & (data["column"] == column)].to_dict("records")
    return found


@pytest.mark.parametrize(
    ("method", "floor"), [("simclr", "random_rgb"), ("metaug", "random_rgb_l_ab")]
)
def test_the_gain_is_over_the_untrained_network_of_the_same_views(method: str, floor: str) -> None:
    ours, untrained = (row(name, "cifar10_fc") for name in (method, floor))
    assert ours["mean"] == pytest.approx(mean_of(LITE.grid.spec(method, "cifar10"), "fc"))
    assert ours["gain"] == pytest.approx(ours["mean"] - untrained["mean"])
    assert untrained["gain"] != untrained["gain"]


def test_ranks_are_those_of_the_printed_numbers_without_the_supervised_network() -> None:
    ranks = dots1.paper_ranks()
    assert set(ranks) == {f"{d}_{p}" for d in dots1.table1.DATASETS for p in dots1.table1.PROBES}
    assert all(rank["metaug"] == 1 for rank in ranks.values())
    assert all(len(rank) == 18 and "supervised" not in rank for rank in ranks.values())


def test_each_row_has_its_trials_its_interval_and_the_papers_ranks() -> None:
    figure = render_of("lite", dots1).figure
    assert [axes.get_title() for axes in figure.axes] == ["Tiny ImageNet", "CIFAR-10", "CIFAR-100"]
    axes = figure.axes[1]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert len(labels) == len(dots1.table1.METHODS)
    assert "MetAug ‡ (1, 1)" in labels
    assert "Fully supervised" in labels
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3] * 2 * len(labels)


def test_most_gain_is_above() -> None:
    drawing = render_of("lite", dots1)
    data = drawing.data[drawing.data["column"].isin(["cifar10_conv", "cifar10_fc"])]
    gains = data.groupby("method")["gain"].mean().dropna().sort_values(ascending=False)
    first = drawing.figure.axes[1].get_yticklabels()[0].get_text()
    assert first.startswith(dots1.method_name(gains.index[0]))


def test_what_has_no_trials_is_left_out() -> None:
    places = dots1.cells(LITE.grid)
    chosen = {
        query: [60.0, 61.0, 62.0]
        for (row, column), query in places.items()
        if column.startswith("cifar10_") and row in ("cmc", "random_rgb_l_ab")
    }
    figure = dots1.render(LITE.grid, results_from(chosen)).figure
    assert [axes.get_title() for axes in figure.axes] == ["CIFAR-10"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["CMC ‡ (8, 5)"]
    nothing = dots1.render(LITE.grid, NOTHING).figure
    assert len(nothing.axes) == 1
