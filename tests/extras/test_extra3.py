import pytest

from metaug.extras import extra3
from metaug.paper import table5
from tests.paper.synthetic import mean_of, plan_of, render_of, specs_of


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_every_point_is_its_training(scale):
    data = render_of(scale, extra3).data.set_index(["quantity", "delta"])["mean"]
    for spec in specs_of(scale, extra3):
        if spec.method == "metaug":
            delta = spec.hyper["delta"]
            assert data["top1", delta] == pytest.approx(mean_of(spec, "conv;"))
            assert data["gradient_share", delta] == pytest.approx(delta / (1 + delta))
        else:
            assert data["top1_only_oucl", ""] == pytest.approx(mean_of(spec, "conv;"))


def test_trainings_of_table_5_are_used_again():
    full = {spec.hash for spec in specs_of("full", extra3)}
    table = {spec.hash for spec in specs_of("full", table5) if spec.method == "metaug"}
    assert table <= full
    assert plan_of("full").grid.spec("metaug_oucl", "cifar10").hash in full


def test_the_share_has_a_logarithmic_axis():
    above, below = render_of("full", extra3, trials=1).figure.axes
    assert (above.get_xscale(), above.get_yscale()) == ("log", "log")
    assert (below.get_xscale(), below.get_yscale()) == ("log", "linear")
