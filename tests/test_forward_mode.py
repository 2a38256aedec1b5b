"""Forward-mode products against the naive ones."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm
from torch.utils._python_dispatch import TorchDispatchMode

from metaug.forward_mode import jvp

KINDS = [
    "1d",
    "2d",
    "convolution_without_bias",
    "frozen_bias",
    "channels_last",
    "input_without_tangent",
    "without_affine",
    "frozen_affine",
    "no_forward_mode",
]


@pytest.fixture(params=KINDS)
def network(request):
    """Layers with batch norm in train mode without running statistics, their input, and random
    weights, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param in ("1d", "no_forward_mode"):
            layers, x = [nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)], torch.randn(9, 5)
            if request.param == "no_forward_mode":
                layers[0] = weight_norm(layers[0])
        else:
            layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)]
            x = torch.randn(4, 3, 8, 8)
        if request.param == "convolution_without_bias":
            layers[0] = nn.Conv2d(3, 4, 3, bias=False)
        if request.param == "input_without_tangent":
            layers.pop(0)
            x = torch.randn(4, 4, 8, 8)
        if request.param == "without_affine":
            layers[1] = nn.BatchNorm2d(4, affine=False)
        module = nn.Sequential(*layers).double()
        for p in module.parameters():
            nn.init.normal_(p)
        x = x.double()
    if request.param == "frozen_bias":
        module[0].bias.requires_grad_(False)
    if request.param == "frozen_affine":
        module[1].requires_grad_(False)
    for layer in module:
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.track_running_stats = False
    if request.param == "channels_last":
        module, x = (
            module.to(memory_format=torch.channels_last),
            x.to(memory_format=torch.channels_last),
        )
    return module, x


def test_the_product_is_the_slope_along_the_direction(network):
    module, x = network
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(1)
    direction = [
        torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters.values()
    ]

    def function(values):
        return (functional_call(module, dict(values), (x,)),)

    (tangent,) = jvp(function, parameters, direction)
    outer = torch.randn(tangent.shape, generator=generator, dtype=tangent.dtype)
    gradient = torch.autograd.grad((function(parameters)[0] * outer).sum(), parameters.values())
    expected = sum((g * v).sum() for g, v in zip(gradient, direction, strict=True))
    torch.testing.assert_close((tangent * outer).sum(), expected, rtol=1e-11, atol=1e-11)
    assert not tangent.requires_grad


class Convolutions(TorchDispatchMode):
    """Counts them."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten.convolution.default
        return func(*args, **(kwargs or {}))


def test_images_which_have_no_tangent_are_convolved_with_weights_and_with_their_tangents_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3))
    parameters, x = dict(module.named_parameters()), torch.ones(2, 3, 8, 8)
    with Convolutions() as seen:
        jvp(lambda p: (functional_call(module, dict(p), (x,)),), parameters, [*parameters.values()])
    assert seen.count == 2 + 3


def test_running_statistics_stay_and_eval_mode_uses_them():
    module = nn.BatchNorm1d(3).double()
    module(torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    module.eval()
    before = module.running_mean.clone()
    parameters = dict(module.named_parameters())
    x = torch.ones(2, 3, dtype=torch.float64)
    (tangent,) = jvp(
        lambda values: (functional_call(module, dict(values), (x,)),),
        parameters,
        [torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)],
    )
    expected = (x - module.running_mean) / (module.running_var + module.eps).sqrt()
    torch.testing.assert_close(tangent, expected)
    assert torch.equal(module.running_mean, before)
