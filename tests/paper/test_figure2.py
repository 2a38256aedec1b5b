import numpy as np
import pytest

from metaug.paper import figure2
from metaug.reporting.results import Results
from tests.paper.synthetic import TRIALS, frame_of, plan_of, render_nothing, render_of


@pytest.fixture(scope="module", name="drawing")
def drawing_fixture():
    return render_of("full", figure2)


MEANS = {  # margin, features, pairs: what the synthetic results are made with
    ("with", "original", "positive"): 0.80,
    ("with", "original", "negative"): 0.50,
    ("with", "with_augmented", "positive"): 0.75,
    ("with", "with_augmented", "negative"): 0.45,
    ("without", "original", "positive"): 0.80,
    ("without", "with_augmented", "positive"): 0.85,
    ("without", "with_augmented", "negative"): 0.55,
}


@pytest.mark.parametrize("place", MEANS)
def test_means_and_histograms_are_those_of_the_results(drawing, place):
    places = ["margin", "features", "pairs", "metric"]
    data = drawing.data.set_index(places).sort_index().loc[place]
    assert data.loc["mean_similarity", "mean"] == pytest.approx(MEANS[place])
    shares = data.loc[[f"histogram_{i:02d}" for i in range(50)], "mean"]
    assert shares.sum() == pytest.approx(1)
    assert (shares * (np.arange(50) + 0.5) / 50).sum() == pytest.approx(MEANS[place], abs=0.01)
    assert (data["n"] == TRIALS).all()


def test_four_panels_each_with_two_histograms(drawing):
    titles = [axes.get_title() for axes in drawing.figure.axes]
    assert titles == [
        "with margin: original features",
        "with margin: original and augmented",
        "without margin: original features",
        "without margin: original and augmented",
    ]
    for axes in drawing.figure.axes:
        assert len(axes.lines) == 2  # the two means


def test_the_band_is_the_interval_and_does_not_go_below_nothing():
    frame = frame_of("full", figure2)
    tail = (frame["metric"] == "histogram_40") & (frame["trial"] == 0)
    frame.loc[tail, "value"] *= 3
    drawing = figure2.render(plan_of("full").grid, Results(frame))
    bands = [patch for axes in drawing.figure.axes for patch in axes.patches]
    assert min(patch.get_path().vertices[:, 1].min() for patch in bands) >= 0


def test_a_panel_without_results_says_so():
    frame = frame_of("full", figure2)
    with_margin = frame[~frame["setting"].str.contains("alpha=0")]
    drawing = figure2.render(plan_of("full").grid, Results(with_margin))
    notes = [[text.get_text() for text in axes.texts] for axes in drawing.figure.axes]
    assert notes == [[], [], ["nothing has been run"], ["nothing has been run"]]
    assert (render_nothing(figure2).data["n"] == 0).all()
