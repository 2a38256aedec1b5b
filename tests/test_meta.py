"""The meta step on small functions: against a naive double backward and a finite difference."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metaug.meta import frozen_running_statistics, inner_gradient, meta_gradient

RATE = 0.3


@pytest.fixture
def problem():
    """A smooth network with θ, a head with ω, and two losses on the features."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = random(7, 4)
    theta = {"w": random(4, 5).requires_grad_(), "v": random(5, 3).requires_grad_()}
    omega = [random(3, 6).requires_grad_(), random(6, 3).requires_grad_()]

    def encode(parameters):
        hidden = torch.tanh(x @ parameters["w"]) @ parameters["v"]
        return hidden.sin(), torch.tanh(hidden.flip(0))

    def head(features):
        augmented = [torch.tanh(z @ omega[0]) @ omega[1] for z in features]
        return sum(
            ((a - z.roll(1, 0)) ** 2).mean() for a, z in zip(augmented, features, strict=True)
        )

    def outer(features):
        return head(features) + (features[0] * features[1]).sum() * omega[0].square().sum()

    return theta, omega, encode, head, outer


def gradient_of(problem, order, rate=RATE):
    theta, omega, encode, head, outer = problem
    _, inner = inner_gradient(
        encode(theta), head, list(theta.values()), create_graph=order == "exact"
    )
    return meta_gradient(encode, theta, inner, outer, omega, inner_learning_rate=rate, order=order)


def naive(problem, rate=RATE, detach=False):
    """The same by a graph of gradients through everything."""
    theta, omega, encode, head, outer = problem
    gradient = torch.autograd.grad(head(encode(theta)), theta.values(), create_graph=True)
    ahead = {n: p - rate * g for (n, p), g in zip(theta.items(), gradient, strict=True)}
    if detach:
        ahead = {n: p.detach() for n, p in ahead.items()}
    loss = outer(encode(ahead))
    return torch.autograd.grad(loss, omega), loss.detach()


def assert_equal(ours, theirs, tolerance=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= tolerance * b.norm()


def test_inner_gradient_is_that_of_the_whole_function(problem):
    theta, _, encode, head, _ = problem
    value, inner = inner_gradient(encode(theta), head, list(theta.values()), create_graph=False)
    features = encode(theta)
    expected = head(features)
    torch.testing.assert_close(value, expected.detach())
    assert_equal(inner.features, torch.autograd.grad(expected, features, retain_graph=True))
    assert_equal(inner.parameters, torch.autograd.grad(expected, list(theta.values())))
    assert not any(g.requires_grad for g in (value, *inner.parameters))


def test_exact_equals_a_naive_double_backward(problem):
    expected, loss = naive(problem)
    ours = gradient_of(problem, "exact")
    assert_equal(ours.total, expected)
    torch.testing.assert_close(ours.loss, loss)
    assert 0.01 < ours.second_order_share < 1


def test_exact_equals_a_finite_difference(problem):
    theta, omega, encode, head, outer = problem
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in omega]

    def loss_at(step):
        with torch.no_grad():
            for w, v in zip(omega, direction, strict=True):
                w += step * v
        gradient = torch.autograd.grad(head(encode(theta)), list(theta.values()))
        ahead = {n: p - RATE * g for (n, p), g in zip(theta.items(), gradient, strict=True)}
        value = outer(encode(ahead)).item()
        with torch.no_grad():
            for w, v in zip(omega, direction, strict=True):
                w -= step * v
        return value

    difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    product = sum(
        (g * v).sum().item()
        for g, v in zip(gradient_of(problem, "exact").total, direction, strict=True)
    )
    assert product == pytest.approx(difference, rel=1e-7)


def test_first_order_takes_the_look_ahead_weights_as_constants(problem):
    expected, loss = naive(problem, detach=True)
    ours = gradient_of(problem, "first_order")
    assert_equal(ours.total, expected)
    torch.testing.assert_close(ours.loss, loss)
    assert ours.second_order == 0


def test_without_look_ahead_it_is_the_gradient_at_theta(problem):
    expected, _ = naive(problem, rate=0.0)
    assert_equal(gradient_of(problem, "none").total, expected)


def test_at_rate_zero_all_orders_are_equal(problem):
    exact, first, none = (
        gradient_of(problem, order, rate=0.0).total for order in ("exact", "first_order", "none")
    )
    assert_equal(exact, none)
    assert_equal(first, none)


def test_the_parts_are_norms_that_the_share_compares(problem):
    exact, first = gradient_of(problem, "exact"), gradient_of(problem, "first_order")
    direct = torch.cat([g.flatten() for g in first.total]).norm()
    second = torch.cat(
        [(a - b).flatten() for a, b in zip(exact.total, first.total, strict=True)]
    ).norm()
    torch.testing.assert_close(exact.direct, direct)
    torch.testing.assert_close(exact.second_order, second)
    torch.testing.assert_close(exact.second_order_share, second / (second + direct))


def test_parameters_that_the_loss_does_not_use_have_zero_gradient(problem):
    theta, omega, encode, head, outer = problem
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    _, inner = inner_gradient(encode(theta), head, list(theta.values()), create_graph=True)
    ours = meta_gradient(
        encode, theta, inner, outer, [*omega, unused], inner_learning_rate=RATE, order="exact"
    )
    assert torch.equal(ours.total[-1], torch.zeros(2, dtype=torch.float64))


def test_nothing_keeps_a_graph(problem):
    ours = gradient_of(problem, "exact")
    for tensor in (*ours.total, ours.loss, ours.direct, ours.second_order):
        assert not tensor.requires_grad


def batch_norm():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_frozen_running_statistics_leave_output_and_buffers_as_they_are():
    module, x = batch_norm(), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    before = state_of(module)
    with frozen_running_statistics(module):
        frozen = module(x)
        called = functional_call(module, dict(module.named_parameters()), (x,))
    assert same(before, state_of(module))
    free = module(x)
    assert torch.equal(frozen, free)
    assert torch.equal(called, free)
    assert not same(before, state_of(module))


def test_running_statistics_move_again_after_an_error():
    module = batch_norm()
    with pytest.raises(RuntimeError), frozen_running_statistics(module):
        module(torch.zeros(8, 5))
    before = state_of(module)
    module(torch.ones(8, 3))
    assert not same(before, state_of(module))


def test_eval_mode_uses_the_running_statistics_while_they_are_frozen():
    module, x = batch_norm(), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    module(x)
    module.eval()
    with frozen_running_statistics(module):
        frozen = module(x)
    assert torch.equal(frozen, module(x))


def test_the_first_meta_step_of_a_process_gives_no_warning():
    program = (
        "import torch; from metaug.forward_mode import jvp;"
        "print(jvp(lambda p: (p['w'].sin(),), {'w': torch.zeros(2)}, [torch.ones(2)])[0].tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert run.stdout.strip() == "[1.0, 1.0]"
    assert run.stderr == ""
