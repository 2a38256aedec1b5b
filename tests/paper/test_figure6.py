import pytest

from metaug.paper import figure6
from tests.paper.synthetic import HALF_WIDTH, mean_of, plan_of, render_of, specs_of


@pytest.fixture(scope="module", name="drawing")
def drawing_fixture():
    return render_of("full", figure6)


def test_every_cell_of_every_panel_is_its_training(drawing):
    grid = plan_of("full").grid
    assert len(drawing.data) == 3 * 64
    for row in drawing.data.sample(40, random_state=0).itertuples():
        first, second = row.panel.split("-")
        (held,) = {"alpha", "beta", "delta"} - {first, second}
        values = {first: row.row, second: row.column, held: row.held}
        spec = grid.spec("metaug", "cifar10", **values)
        assert row.mean == pytest.approx(mean_of(spec, "fc;"))
        assert row.ci95 == pytest.approx(HALF_WIDTH)


def test_the_paper_holds_alpha_while_it_studies_beta_and_delta(drawing):
    held = drawing.data.groupby("panel")["held"].unique().map(list).to_dict()
    assert held == {"beta-delta": [1e-13], "alpha-beta": [1e-5], "alpha-delta": [16.0]}


def test_panels_share_one_scale_of_colours(drawing):
    limits = {axes.images[0].get_clim() for axes in drawing.figure.axes[:3]}
    assert limits == {(drawing.data["mean"].min(), drawing.data["mean"].max())}


def test_values_are_those_that_the_paper_tries():
    tried = specs_of("full", figure6)
    assert {spec.hyper["beta"] for spec in tried} == {2, 4, 8, 16, 32, 64, 128, 256}
    assert {spec.hyper["delta"] for spec in tried} == {10.0**-k for k in range(1, 9)}
    assert {spec.hyper["alpha"] for spec in tried} == {10.0**-k for k in range(3, 18, 2)}


@pytest.mark.parametrize("scale", ["smoke", "lite"])
def test_a_smaller_scale_has_smaller_panels_without_gaps(scale):
    drawing = render_of(scale, figure6)
    for axes in drawing.figure.axes[:3]:
        assert "–" not in [text.get_text() for text in axes.texts]
        assert len(axes.texts) in (4, 9)


def test_the_caption_has_the_mean_half_width(drawing):
    assert f"Mean half-width of the intervals: {HALF_WIDTH:.2f}." in drawing.caption
