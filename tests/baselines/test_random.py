import pytest
import torch

from metaug.method import draw_weights
from metaug.models import build_encoder
from metaug.training.loop import train


def statistics_of(method, name):
    return {k: v for k, v in method.encoders.named_buffers() if k.endswith(name)}


@pytest.fixture
def trained(make_spec, training_set, tmp_path, quiet_runtime):
    """A method as it leaves the training loop."""

    def run(method, **changes):
        spec = make_spec(method, **changes)
        return train(spec, 3, training_set, tmp_path, quiet_runtime)[0]

    return run


def test_the_weights_are_those_of_an_untrained_encoder_of_full_width(trained):
    method = trained("random").eval()
    encoder = build_encoder("alexnet", 3, 1 / 16, 32)
    with torch.random.fork_rng():
        draw_weights(encoder, 3, "encoders.rgb")
    for name, value in encoder.named_parameters():
        assert torch.equal(value, method.encoder.get_parameter(name))
    assert set(method.representation(torch.zeros(2, 3, 32, 32))) == {"conv", "fc6", "fc"}


@pytest.mark.parametrize("views", [("rgb",), ("rgb", "l", "ab")])
def test_batch_norm_is_that_of_a_training_that_does_not_move(trained, views, make_spec, ready):
    """The control: the same network after 40 epochs at a rate of next to nothing."""
    method = "simclr" if len(views) == 1 else "metaug_oucl"
    floor = trained("random", views=views)
    still = trained(method, views=views, learning_rate=1e-12, epochs=40, weight_decay=0)
    built = ready(make_spec("random", views=views), trial=3)
    for name in ("running_mean", "running_var"):
        ours, theirs, unset = (statistics_of(m, name) for m in (floor, still, built))
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert 5 * (ours[key] - value).norm() < (unset[key] - value).norm(), key


def test_it_is_not_trained(make_spec, ready):
    method = ready(make_spec("random"))
    assert not method.trained
    with pytest.raises(TypeError, match="neither training_step nor update"):
        method.training_step(None)
