import pytest

from metaug.paper import figure3
from tests.paper.synthetic import HALF_WIDTH, mean_of, plan_of, render_of


def test_the_curve_and_the_level_are_the_trainings():
    data = render_of("full", figure3).data
    grid = plan_of("full").grid
    for decay in range(1, 9):
        spec = grid.spec("metaug_oucl", "tiny_imagenet", loss="weighted", decay=decay)
        (row,) = data[(data["line"] == "decayed") & (data["phi_dec"] == decay)].itertuples()
        assert row.mean == pytest.approx(mean_of(spec, "conv;"))
        assert row.ci95 == pytest.approx(HALF_WIDTH)
    spec = grid.spec("metaug_oucl", "tiny_imagenet", loss="unified", margin=0.2)
    (row,) = data[data["line"] == "no_weights"].itertuples()
    assert row.mean == pytest.approx(mean_of(spec, "conv;"))
    assert len(data) == 9


def test_without_weights_equation_9_is_equation_8_with_this_margin():
    """Γ = 1 in Eq. 9: d⁻ − γ⁻ − d⁺ + γ⁺ = d⁻ − d⁺ + λ with γ⁻ = γ and γ⁺ = 1 − γ."""
    gamma, positive, negative = figure3.GAMMA, 0.7, 0.3
    equation_9 = (negative - gamma) - (positive - (1 - gamma))
    assert equation_9 == pytest.approx(negative - positive + figure3.NO_WEIGHTS_MARGIN)


def test_the_papers_best_is_marked_on_its_data_set_alone():
    for scale, marks in (("full", 1), ("smoke", 0)):
        (axes,) = render_of(scale, figure3, trials=1).figure.axes
        vertical = [line for line in axes.lines if list(line.get_xdata()) == [6, 6]]
        assert len(vertical) == marks
