import pytest

from metaug.paper import figure4
from tests.paper.synthetic import HALF_WIDTH, mean_of, plan_of, render_of, specs_of

every_scale = pytest.mark.parametrize("scale", ["smoke", "lite", "full"])


def panels_of(spec):
    """The panels that show a training: at the default batch size both."""
    default = plan_of(spec.scale).grid.spec(spec.method, spec.dataset)
    if spec == default:
        return ("epochs", "steps")
    return ("epochs",) if spec.epochs == default.epochs else ("steps",)


@every_scale
def test_every_point_is_its_training(scale):
    data = render_of(scale, figure4).data
    data = data.set_index(["equal", "method", "batch_size"])
    places = [(panel, spec) for spec in specs_of(scale, figure4) for panel in panels_of(spec)]
    for panel, spec in places:
        point = data.loc[(panel, spec.method, spec.batch_size)]
        assert point["mean"] == pytest.approx(mean_of(spec, "conv;"))
        assert point["ci95"] == pytest.approx(HALF_WIDTH)
    assert len(data) == len(places)


@every_scale
def test_equal_steps_are_those_of_the_default_batch_size(scale):
    for spec in specs_of(scale, figure4):
        epochs = plan_of(scale).grid.spec(spec.method, spec.dataset).epochs
        if spec.epochs != epochs:
            wanted = epochs * spec.batch_size / 64
            assert spec.epochs == pytest.approx(wanted, abs=0.5)


def test_at_equal_steps_a_training_has_one_epoch_at_least():
    assert figure4.epochs_at_equal_steps(1, 16) == 1
    assert figure4.epochs_at_equal_steps(300, 512) == 2400


def test_curves_differ_in_marker_or_line_too():
    for axes in render_of("full", figure4, trials=1).figure.axes:
        looks = [(line.get_marker(), line.get_linestyle()) for line, *_ in axes.containers]
        assert len(set(looks)) == len(looks) > 4


def test_only_the_batch_size_and_the_epochs_change():
    for spec in specs_of("full", figure4):
        default = plan_of("full").grid.spec(spec.method, spec.dataset)
        changed = {part.partition("=")[0] for part in spec.difference(default).split(";") if part}
        assert changed in (set(), {"batch_size"}, {"batch_size", "epochs"})
