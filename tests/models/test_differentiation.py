"""What the meta step relies on: forward-mode products, double backward, untouched buffers."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, jvp, vjp

from metaug.models import BACKBONES, build_encoder
from metaug.models.generator import MAG
from metaug.models.heads import mlp


@pytest.fixture(params=["contiguous", "channels_last"])
def memory_format(request):
    return getattr(torch, {"contiguous": "contiguous_format"}.get(request.param, request.param))


@pytest.fixture(params=BACKBONES)
def setting(request, memory_format):
    """A module in training mode, its parameters, a direction, and the features as a function.

    The function runs on clones of the buffers: batch norm uses the statistics of the batch and
    updates the clones, so the module's own running statistics stay as they are.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder(request.param, 2, width=1 / 16, image_size=32).double()
    encoder.to(memory_format=memory_format)
    images = torch.randn(8, 2, 32, 32, dtype=torch.float64, generator=generator)
    images = images.contiguous(memory_format=memory_format)
    parameters = {name: p.detach() for name, p in encoder.named_parameters()}
    direction = {
        name: 0.1 * torch.randn(p.shape, dtype=p.dtype, generator=generator)
        for name, p in parameters.items()
    }

    def features(parameters):
        buffers = {name: b.clone() for name, b in encoder.named_buffers()}
        return functional_call(encoder, (parameters, buffers), (images,))

    return encoder, parameters, direction, features


def moved(parameters, direction, step):
    return {name: p + step * direction[name] for name, p in parameters.items()}


def test_forward_mode_equals_a_central_difference(setting):
    _, parameters, direction, features = setting
    _, product = jvp(features, (parameters,), (direction,))
    step = 1e-8  # so small that hardly any ReLU or maximum changes sides between both points
    ahead = features(moved(parameters, direction, step))
    behind = features(moved(parameters, direction, -step))
    difference = (ahead - behind) / (2 * step)
    assert (product - difference).norm() <= 1e-6 * difference.norm()


def test_forward_mode_is_the_adjoint_of_reverse_mode(setting):
    _, parameters, direction, features = setting
    value, product = jvp(features, (parameters,), (direction,))
    weights = torch.randn(
        value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(1)
    )
    (gradient,) = vjp(features, parameters)[1](weights)
    reverse = sum((gradient[name] * direction[name]).sum() for name in parameters)
    torch.testing.assert_close((weights * product).sum(), reverse, rtol=1e-10, atol=1e-10)


def test_dual_numbers_give_the_same_product(setting):
    _, parameters, direction, features = setting
    _, expected = jvp(features, (parameters,), (direction,))
    with forward_ad.dual_level():
        dual = {name: forward_ad.make_dual(p, direction[name]) for name, p in parameters.items()}
        product = forward_ad.unpack_dual(features(dual)).tangent
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-10)


def test_running_statistics_are_untouched_by_a_call_on_cloned_buffers(setting):
    encoder, parameters, direction, features = setting
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    jvp(features, (parameters,), (direction,))
    assert before
    assert all(torch.equal(b, before[name]) for name, b in encoder.named_buffers())


def test_running_statistics_move_in_a_plain_call(setting):
    encoder, _, _, _ = setting
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    encoder(torch.ones(4, 2, 32, 32, dtype=torch.float64))
    assert not any(torch.equal(b, before[name]) for name, b in encoder.named_buffers())


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: MAG(6, 10), id="mag"),
        pytest.param(lambda: mlp((6, 10, 6)), id="mlp"),
        pytest.param(lambda: mlp((6, 10, 6), batch_norm=False), id="mlp-without-batch-norm"),
        pytest.param(
            lambda: mlp((6, 10, 6), last_batch_norm=True, last_affine=False), id="simsiam"
        ),
    ],
)
def test_double_backward_of_heads(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build().double()
    inputs = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    names = [name for name, _ in module.named_parameters()]

    def outputs(inputs, *parameters):
        return functional_call(module, dict(zip(names, parameters, strict=True)), (inputs,))

    arguments = (inputs.requires_grad_(), *module.parameters())
    assert torch.autograd.gradcheck(outputs, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(outputs, arguments)
