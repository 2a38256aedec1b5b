import pytest

from metaug.paper import figure4, table1
from tests.paper.synthetic import HALF_WIDTH, frame_of, mean_of, plan_of, specs_of


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_every_point_is_its_training(scale):
    data = figure4.render(frame_of(scale, figure4)).data.set_index(["method", "batch_size"])
    specs = specs_of(scale, figure4)
    for spec in specs:
        point = data.loc[(spec.method, spec.batch_size)]
        assert point["mean"] == pytest.approx(mean_of(spec, "fc;"))
        assert point["ci95"] == pytest.approx(HALF_WIDTH)
    assert len(data) == len(specs)


def test_methods_that_ran_at_one_batch_size_alone_are_of_other_artefacts():
    frame = frame_of("smoke", figure4, table1)
    methods = set(figure4.render(frame).data["method"])
    assert methods == set(plan_of("smoke").grid.values("figure4.methods", ("",)))


def test_curves_differ_in_marker_or_line_too():
    (axes,) = figure4.render(frame_of("full", figure4, trials=1)).figure.axes
    looks = [(line.get_marker(), line.get_linestyle()) for line, *_ in axes.containers]
    assert len(set(looks)) == len(looks) > 4


def test_only_the_batch_size_changes():
    for spec in specs_of("full", figure4):
        default = plan_of("full").grid.spec(spec.method, spec.dataset)
        assert spec.difference(default) in ("", f"batch_size={spec.batch_size}")
