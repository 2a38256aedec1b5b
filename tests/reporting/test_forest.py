"""The forest plot shows the comparison on which each claim turns, and says what is missing."""

import math

import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from metaug.reporting.claims import VERDICTS
from metaug.reporting.figures import Drawing
from metaug.reporting.forest import COLORS, forest_plot
from tests.reporting.test_scorecard import OUTCOMES, finding, outcome


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return forest_plot(OUTCOMES, "lite")


def test_every_verdict_has_a_colour_of_its_own() -> None:
    assert len({COLORS[verdict] for verdict in VERDICTS}) == len(VERDICTS)


def test_a_claim_that_was_decided_has_a_point_with_its_interval(drawing: Drawing) -> None:
    (axes,) = drawing.figure.axes
    points = {}
    for point, _, (bar,) in axes.containers:
        ((left, row), (right, _)) = bar.get_segments()[0]
        points[int(row)] = (left, point.get_xdata()[0], right, to_hex(point.get_color()))
    assert set(points) == {0, 1, 2, 4}  # the fourth has not been run
    for row, (left, middle, right, color) in points.items():
        found = OUTCOMES[row].deciding.comparison
        assert (left, middle, right) == pytest.approx((found.low, found.effect, found.high))
        assert color == to_hex(COLORS[OUTCOMES[row].verdict])


def test_a_star_is_where_the_paper_prints_a_difference(drawing: Drawing) -> None:
    (axes,) = drawing.figure.axes
    stars = {
        int(line.get_ydata()[0]): line.get_xdata()[0]
        for line in axes.get_lines()
        if isinstance(line, Line2D) and line.get_marker() == "*"
    }
    assert {row: x for row, x in stars.items() if not math.isnan(x)} == {0: 2.5, 4: 1.5}


def test_small_dots_are_all_comparisons_that_were_made(drawing: Drawing) -> None:
    (axes,) = drawing.figure.axes
    dots = {
        int(line.get_ydata()[0]): sorted(line.get_xdata())
        for line in axes.get_lines()
        if line.get_markersize() == 3 and len(line.get_xdata())
    }
    assert dots == {0: [1.25, 2.0], 1: [-0.75, 1.25], 2: [0.1], 3: [1.25], 4: [0.1]}


def test_a_claim_that_waits_says_how_many_of_its_comparisons_were_made() -> None:
    waiting = [*OUTCOMES, outcome(6, "not run", finding("not run"))]
    (axes,) = forest_plot(waiting, "lite").figure.axes
    assert [text.get_text() for text in axes.texts] == [
        "reproduced",
        "contradicted",
        "inconclusive",
        "not run (1 of 2)",
        "ruled out",
        "not run",
    ]


def test_the_data_are_those_of_the_plot(drawing: Drawing) -> None:
    assert list(drawing.data["claim"]) == [o.claim.id for o in OUTCOMES]
    assert list(drawing.data["verdict"]) == [o.verdict for o in OUTCOMES]
    assert drawing.data.loc[0, ["difference", "low", "high", "published", "n"]].tolist() == [
        1.25,
        0.75,
        1.75,
        2.5,
        5,
    ]
