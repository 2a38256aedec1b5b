import pytest
import torch

from metaug.method import draw_weights
from metaug.models import build_encoder


def test_the_representation_is_that_of_an_untrained_encoder_of_full_width(make_spec, ready):
    method = ready(make_spec("random"), trial=3).eval()
    encoder = build_encoder("alexnet", 3, 1 / 16, 32)
    with torch.random.fork_rng():
        draw_weights(encoder, 3, "encoders.rgb")
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, method.encoder.state_dict()[name])
    assert set(method.representation(torch.zeros(2, 3, 32, 32))) == {"conv", "fc6", "fc"}


def test_it_is_not_trained(make_spec, ready):
    method = ready(make_spec("random"))
    assert not method.trained
    with pytest.raises(TypeError, match="neither training_step nor update"):
        method.training_step(None)
