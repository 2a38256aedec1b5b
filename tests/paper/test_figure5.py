import math

import pytest

from metaug.paper import figure5
from metaug.paper.published import load_published
from metaug.reporting.results import Results
from tests.paper.synthetic import (
    HALF_WIDTH,
    frame_of,
    mean_of,
    plan_of,
    render_nothing,
    render_of,
)

CELLS = {
    ("oucl", "large"): {},
    ("oucl", "medium"): {"margin_size": "medium"},
    ("oucl", "small"): {"margin_size": "small"},
    ("oucl", "none"): {"alpha": 0.0},
    ("contrastive", "large"): {"loss": "contrastive"},
    ("contrastive", "medium"): {"loss": "contrastive", "margin_size": "medium"},
    ("contrastive", "small"): {"loss": "contrastive", "margin_size": "small"},
    ("contrastive", "none"): {"loss": "contrastive", "alpha": 0.0},
}


@pytest.fixture(scope="module", name="drawing")
def drawing_fixture():
    return render_of("full", figure5)


@pytest.mark.parametrize("place", CELLS)
def test_every_cell_is_its_training(drawing, place):
    spec = plan_of("full").grid.spec("metaug", "cifar100", **CELLS[place])
    cell = drawing.data.set_index(["loss", "margin_size"]).loc[place]
    assert cell["mean"] == pytest.approx(mean_of(spec, "fc;"))
    assert cell["ci95"] == pytest.approx(HALF_WIDTH)
    written = {text.get_text().split("\n")[0] for text in drawing.figure.axes[0].texts}
    assert f"{cell['mean']:.2f}" in written


def test_the_one_number_that_can_be_assigned_stands_in_its_cell(drawing):
    published = drawing.data.set_index(["loss", "margin_size"])["published"]
    assert published["oucl", "large"] == 61.06
    assert published.notna().sum() == 1
    (text,) = [t.get_text() for t in drawing.figure.axes[0].texts if "paper" in t.get_text()]
    assert text.endswith("paper 61.06")


def test_the_numbers_that_cannot_are_in_the_caption(drawing):
    (row,) = load_published().query("artefact == 'figure5'").itertuples()
    *_, numbers = row.note.split(": ")
    for number in numbers.split():
        assert number in drawing.caption


def test_cells_not_run_are_dashes():
    frame = frame_of("full", figure5)
    frame = frame[~frame["setting"].str.contains("loss=contrastive")]
    drawing = figure5.render(plan_of("full").grid, Results(frame))
    assert [text.get_text() for text in drawing.figure.axes[0].texts].count("–") == 4
    assert {text.get_text() for text in render_nothing(figure5).figure.axes[0].texts} == {"–"}
    assert math.isnan(drawing.data["mean"].iloc[-1])
