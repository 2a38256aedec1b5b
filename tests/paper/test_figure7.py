import pytest

from metaug.paper import figure7
from tests.paper.synthetic import (
    HALF_WIDTH,
    mean_of,
    plan_of,
    render_nothing,
    render_of,
    specs_of,
)

GAMMAS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def test_every_point_is_its_training():
    data = render_of("full", figure7).data.set_index("gamma")
    for gamma in GAMMAS:
        spec = plan_of("full").grid.spec("metaug_oucl", "tiny_imagenet", gamma=gamma)
        assert data.loc[gamma, "mean"] == pytest.approx(mean_of(spec, "fc;"))
        assert data.loc[gamma, "ci95"] == pytest.approx(HALF_WIDTH)
    assert len(data) == len(GAMMAS)


def test_the_default_gamma_is_the_training_of_table_1():
    assert plan_of("full").grid.spec("metaug_oucl", "tiny_imagenet") in specs_of("full", figure7)


def test_the_published_number_is_beside_ours():
    data = render_of("full", figure7).data.set_index("gamma")
    assert data.loc[0.4, "published"] == 42.14
    assert data["published"].notna().sum() == 1


def stars(drawing):
    (axes,) = drawing.figure.axes
    lines = [line for line in axes.lines if line.get_marker() == "*"]
    return [tuple(xy) for line in lines for xy in line.get_xydata()]


def test_it_is_a_star_where_it_is_near_ours_and_named_at_the_edge_where_not():
    near = render_of("full", figure7, accuracy=lambda *_: 41.0)
    assert stars(near) == [(0.4, 42.14)]
    far = render_of("full", figure7, accuracy=lambda *_: 12.0)
    assert stars(far) == []
    assert [t.get_text() for t in far.figure.axes[0].texts] == ["paper: 42.14 ↑"]
    assert far.figure.axes[0].get_ylim()[1] < 20
    assert stars(render_nothing(figure7)) == [(0.4, 42.14)]


def test_numbers_that_cannot_be_assigned_are_in_the_caption():
    caption = render_of("full", figure7, trials=1).caption
    for number in ("41.46", "41.55", "42.06", "42.14"):
        assert number in caption
