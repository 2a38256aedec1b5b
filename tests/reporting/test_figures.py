import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from metaug.reporting.figures import (
    PAIRED_NOTE,
    Drawing,
    accuracy_axis,
    canvas,
    curve,
    data_of,
    full_caption,
    heatmap,
    legend,
    level,
    mark_published,
    note_if_empty,
    positions,
    shared_norm,
    write_drawing,
)
from metaug.reporting.names import power_of_ten
from metaug.reporting.results import interval_of
from metaug.reporting.statistics import Interval
from metaug.reporting.style import method_style

NAN = float("nan")
NOTHING = Interval(NAN, NAN, 0)
STYLE = method_style("metaug")


@pytest.fixture(name="axes")
def axes_fixture():
    with canvas("Title", "lite", height=2) as (_, (axes,)):
        yield axes


def test_the_title_has_the_scale():
    with canvas("Batch size", "smoke", height=2, rows=2, columns=2) as (figure, axes):
        assert figure.get_suptitle() == "Batch size\nsmoke scale: a check of the plumbing"
        assert len(axes) == 4
    with canvas("Batch size", "mine", height=2) as (figure, _):
        assert figure.get_suptitle() == "Batch size\nscale mine, a user's own"


def test_captions_say_scale_and_trials():
    caption = full_caption(("One.", "Two."), "lite", [Interval(1, 0.1, 3), NOTHING])
    assert caption.startswith("One. Two. Scale: lite.")
    assert caption.endswith(f"Means over n = 3 trials, 95 % t-intervals. {PAIRED_NOTE}")
    several = full_caption((), "full", [Interval(1, 0.1, 3), Interval(1, 0.1, 20)])
    assert several.endswith(f"Means over n = 3 to 20 trials, 95 % t-intervals. {PAIRED_NOTE}")
    two = full_caption((), "full", [Interval(1, NAN, 2)], dots=True)
    assert two.endswith("Means over n = 2 trials; small dots are single trials.")
    one = full_caption((), "full", [Interval(1, NAN, 1)], dots=True)
    assert one.endswith("Means over n = 1 trial.")
    assert full_caption((), "full", [Interval(1, NAN, 1)]).endswith("Means over n = 1 trial.")
    both = full_caption((), "full", [Interval(1, NAN, 1), Interval(1, 0.1, 3)], dots=True)
    assert "single trials; hollow marks have fewer than 3." in both
    assert full_caption(("One.",), "lite", [NOTHING]).endswith("Nothing has been run.")


def test_data_have_a_row_for_each_interval():
    intervals = {("a", 1): Interval(50, 0.5, 3), ("b", 2): NOTHING}
    data = data_of(intervals, "line", "x", published={("a", 1): 51.0})
    assert list(data.columns) == ["line", "x", "mean", "ci95", "n", "published"]
    assert data.iloc[0].tolist() == ["a", 1, 50, 0.5, 3, 51.0]
    assert data.iloc[1, 2:].isna().tolist() == [True, True, False, True]


def test_a_curve_leaves_out_what_was_not_run(axes):
    curve(axes, {3: Interval(30, 1, 2), 1: Interval(10, NAN, 1), 2: NOTHING}, STYLE, "ours")
    assert axes.lines[0].get_xydata().tolist() == [[1, 10], [3, 30]]
    curve(axes, {1: NOTHING}, STYLE, "nothing")
    assert axes.get_legend_handles_labels()[1] == ["ours"]


def test_error_bars_are_the_half_widths(axes):
    curve(axes, {1: Interval(10, 0.5, 3), 2: Interval(20, NAN, 1)}, STYLE, "ours")
    (bars,) = axes.containers[0].lines[2]
    assert [segment[..., 1].tolist() for segment in bars.get_segments() if len(segment)] == [
        [9.5, 10.5]
    ]


def test_two_trials_are_dots_and_have_no_bar(axes):
    curve(axes, {1: interval_of(pd.Series([10.0, 12.0]), ())}, STYLE, "ours")
    (bars,) = axes.containers[0].lines[2]
    assert not any(len(segment) for segment in bars.get_segments())
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert dots == [[[1, 10], [1, 12]]]
    assert axes.get_legend_handles_labels()[1] == ["ours"]


def test_a_point_of_few_trials_is_hollow(axes):
    curve(axes, {1: Interval(50, NAN, 1), 2: Interval(60, 2.5, 3)}, STYLE, "MetAug")
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in hollow] == [[[1, 50]]]


def test_every_trial_is_a_dot_beside_its_bar(axes):
    curve(axes, {1: interval_of(pd.Series([10.0, 12.0, 11.0]))}, STYLE, "ours", dodge=2)
    (bars,) = axes.containers[0].lines[2]
    assert len(bars.get_segments()) == 1
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert dots == [[[2, 10], [2, 12], [2, 11]]]


def test_a_level_has_a_band_as_high_as_its_interval(axes):
    level(axes, Interval(50, 2, 3), "level")
    (band,) = axes.patches
    assert (band.get_y(), band.get_height()) == (48, 4)
    level(axes, NOTHING, "nothing")
    assert len(axes.lines) == 1


def test_accuracies_end_at_100_per_cent_and_name_the_read_out(axes):
    curve(axes, {1: Interval(98, 20, 2)}, STYLE, "ours")
    accuracy_axis(axes, "conv")
    assert axes.get_ylim()[1] == 100


def test_a_published_number_nearby_is_a_star_and_a_far_one_is_named(axes):
    curve(axes, {1: Interval(50, 1, 2), 2: Interval(51, 1, 2)}, STYLE, "ours")
    limits = axes.get_ylim()
    mark_published(axes, 1, 20.0, "paper")
    assert [text.get_text() for text in axes.texts] == ["paper: 20 ↓"]
    low, high = axes.get_ylim()
    assert high == limits[1]
    assert 0 < limits[0] - low < 0.2 * (limits[1] - limits[0])
    mark_published(axes, 1, 54.0, "paper")
    assert [1, 54] in [xy for line in axes.lines for xy in line.get_xydata().tolist()]


def test_heatmap_cells_that_were_not_run_are_dashes(axes):
    cells = {("a", "x"): Interval(10, 1, 2), ("b", "y"): Interval(20, 1, 2), ("b", "x"): NOTHING}
    norm = shared_norm(cells.values())
    assert (norm.vmin, norm.vmax) == (10, 20)
    texts = {place: f"{cell.mean:.0f}" for place, cell in cells.items()}
    heatmap(axes, cells, ["a", "b"], ["x", "y"], norm, texts, 7)
    assert [text.get_text() for text in axes.texts] == ["10", "–", "–", "20"]
    # dark blue under white, yellow under black
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "black"]


def test_nothing_run_has_a_scale_of_colours_too():
    norm = shared_norm([NOTHING])
    assert (norm.vmin, norm.vmax) == (0, 1)


def test_ticks_are_where_asked(axes):
    positions(axes, (0.15, 0.2), ("a", "b"))
    assert axes.get_xticks().tolist() == [0.15, 0.2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_one_curve_needs_no_legend():
    with canvas("Title", "full", height=2) as (figure, (axes,)):
        curve(axes, {1: Interval(1, 1, 2)}, STYLE, "ours")
        legend(figure, axes, columns=2)
        assert figure.legends == []
        level(axes, Interval(1, 1, 2), "level")
        legend(figure, axes, columns=2)
        assert len(figure.legends) == 1


def test_an_empty_plot_says_so(axes):
    note_if_empty(axes, [NOTHING, Interval(50, 0.5, 3)])
    assert list(axes.texts) == []
    note_if_empty(axes, [NOTHING])
    assert [text.get_text() for text in axes.texts] == ["nothing has been run"]


def test_a_drawing_is_written_with_its_data(tmp_path):
    figure = Figure()
    figure.subplots().plot([1, 2])
    write_drawing(Drawing(figure, pd.DataFrame({"x": [1], "mean": [math.pi]}), ""), tmp_path / "f")
    assert {path.name for path in tmp_path.iterdir()} == {"f.pdf", "f.png", "f.csv"}
    assert pd.read_csv(tmp_path / "f.csv")["mean"][0] == math.pi


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-5, "10⁻⁵"), (1e-11, "10⁻¹¹"), (0.1, "10⁻¹"), (1.0, "10⁰"), (10.0, "10¹"), (0.5, "0.5")],
)
def test_powers_of_ten_are_written_as_such(value, text):
    assert power_of_ten(value) == text
