from functools import partial

import pytest
import torch
from lightly.models.modules import heads as lightly
from torch import nn

from metaug.models.heads import linear_head, mlp

NO_BIAS = {"hidden_bias": False, "last_bias": False}


@pytest.fixture(autouse=True)
def seeded_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rows(n, width):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    "dims, options, independent",
    [
        pytest.param(
            (12, 10, 6),
            dict(**NO_BIAS, last_batch_norm=True),
            partial(lightly.SimCLRProjectionHead, 12, 10, 6),
            id="simclr-2-layers",
        ),
        pytest.param(
            (12, 10, 10, 6),
            dict(**NO_BIAS, last_batch_norm=True),
            partial(lightly.SimCLRProjectionHead, 12, 10, 6, num_layers=3),
            id="simclr-3-layers",
        ),
        pytest.param(
            (12, 10, 6),
            {"batch_norm": False},
            partial(lightly.MoCoProjectionHead, 12, 10, 6),
            id="moco-v2",
        ),
        pytest.param(
            (12, 10, 10, 6),
            {"hidden_bias": False},
            partial(lightly.BarlowTwinsProjectionHead, 12, 10, 6),
            id="barlow-twins-but-for-the-last-bias",
        ),
        pytest.param(
            (12, 10, 6),
            {"hidden_bias": False},
            partial(lightly.SwaVProjectionHead, 12, 10, 6),
            id="swav-but-for-the-hidden-bias",
        ),
        pytest.param(
            (12, 10, 10, 6),
            dict(**NO_BIAS, last_batch_norm=True, last_affine=False),
            partial(lightly.SimSiamProjectionHead, 12, 10, 6),
            id="simsiam-projector",
        ),
        pytest.param(
            (12, 10, 6),
            {"hidden_bias": False},
            partial(lightly.SimSiamPredictionHead, 12, 10, 6),
            id="simsiam-predictor",
        ),
        pytest.param(
            (12, 10, 10, 6),
            dict(**NO_BIAS, last_batch_norm=True),
            partial(lightly.NNCLRProjectionHead, 12, 10, 6),
            id="nnclr-projector",
        ),
        pytest.param(
            (12, 10, 6),
            {"hidden_bias": False},
            partial(lightly.NNCLRPredictionHead, 12, 10, 6),
            id="nnclr-predictor",
        ),
    ],
)
def test_equals_lightlys_head_with_the_same_weights(dims, options, independent):
    ours, reference = mlp(dims, **options).double(), independent().double()
    weights = list(ours.state_dict().values())
    names = list(reference.state_dict())
    assert len(weights) == len(names)
    reference.load_state_dict(dict(zip(names, weights, strict=True)))
    x = rows(7, 12)
    torch.testing.assert_close(ours(x), reference(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.eval()(x), reference.eval()(x), rtol=1e-10, atol=1e-10)


def test_hidden_bias_does_not_change_the_function_in_front_of_batch_norm():
    """So that BYOL's and SwAV's heads equal those of libraries that leave it out."""
    with_bias, without = mlp((12, 10, 6)).double(), mlp((12, 10, 6), hidden_bias=False).double()
    without.load_state_dict({k: v for k, v in with_bias.state_dict().items() if k != "0.bias"})
    x = rows(7, 12)
    torch.testing.assert_close(with_bias(x), without(x), rtol=1e-10, atol=1e-10)


def test_byols_head_has_biases_everywhere_but_at_the_end():
    layers = list(mlp((12, 10, 6), last_bias=False))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert layers[0].bias is not None
    assert layers[-1].bias is None


def test_standardised_outputs_without_affine():
    z = mlp((12, 6), last_batch_norm=True, last_affine=False).double()(100 * rows(50, 12))
    torch.testing.assert_close(z.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-9)
    ones = torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(z.std(0, unbiased=False), ones, rtol=1e-4, atol=0)


def test_linear_head_is_affine():
    head = linear_head(12, 6).double()
    x, y = rows(2, 12).split(1)
    torch.testing.assert_close(head((x + y) / 2), (head(x) + head(y)) / 2)
    assert head(x).shape == (1, 6)
    assert sum(p.numel() for p in linear_head(2048, 128).parameters()) == 2048 * 128 + 128


def test_one_width_is_not_a_head():
    with pytest.raises(ValueError, match="input and an output width"):
        mlp((12,))
