import math

import pytest
import torch
from torch import nn

from metaug.optimizers import (
    adam,
    apply_gradient,
    build_optimizer,
    rate_factor,
    set_rate_factor,
    sgd,
)


def weight():
    return nn.Parameter(torch.tensor([1.0, -2.0]))


def descend(optimizer, parameter, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
    return parameter.detach().tolist()


def test_sgd_is_momentum_with_weight_decay_in_the_gradient():
    parameter = weight()
    result = descend(sgd([parameter], 0.1, 0.9, 0.01), parameter)
    for start, end in zip([1.0, -2.0], result, strict=True):
        value, velocity = start, 0.0
        for _ in range(3):
            velocity = 0.9 * velocity + 2 * value + 0.01 * value
            value -= 0.1 * velocity
        assert end == pytest.approx(value, rel=1e-6)


def test_adam_is_kingma_and_bas():
    parameter = weight()
    result = descend(adam([parameter], 0.1, 0.01, (0.8, 0.99)), parameter)
    for start, end in zip([1.0, -2.0], result, strict=True):
        value, m, v = start, 0.0, 0.0
        for step in range(1, 4):
            gradient = 2 * value + 0.01 * value
            m, v = 0.8 * m + 0.2 * gradient, 0.99 * v + 0.01 * gradient**2
            value -= 0.1 * (m / (1 - 0.8**step)) / (math.sqrt(v / (1 - 0.99**step)) + 1e-8)
        assert end == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name, kind", [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_the_spec_names_the_optimiser(make_spec, name, kind):
    spec = make_spec("simclr", optimizer=name, learning_rate=0.2, momentum=0.5, weight_decay=0.03)
    optimizer = build_optimizer([weight()], spec)
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.03)
    if name == "sgd":
        assert group["momentum"] == 0.5


def test_only_scheduled_groups_follow_the_schedule():
    followed, constant = sgd([weight()], 0.1), sgd([weight()], 0.1, scheduled=False)
    for factor in (0.5, 0.1):
        for optimizer in (followed, constant):
            set_rate_factor(optimizer, factor)
        assert followed.param_groups[0]["lr"] == pytest.approx(0.1 * factor)
        assert constant.param_groups[0]["lr"] == 0.1


def test_the_base_rate_survives_a_saved_state():
    optimizer = sgd([weight()], 0.1)
    set_rate_factor(optimizer, 0.5)
    other = sgd([weight()], 0.7)
    other.load_state_dict(optimizer.state_dict())
    set_rate_factor(other, 1.0)
    assert other.param_groups[0]["lr"] == 0.1


def factors(spec, steps=3000):
    return [rate_factor(spec, step / steps) for step in range(steps)]


def test_step_schedule_drops_where_the_release_does(make_spec):
    values = factors(make_spec("simclr", schedule="step", epochs=300))
    for epoch, factor in [(0, 1), (119, 1), (120, 0.1), (159, 0.1), (160, 0.01), (200, 0.001)]:
        assert values[10 * epoch] == pytest.approx(factor)
    assert values[-1] == pytest.approx(0.001)


def test_cosine_schedule_is_half_a_period_of_the_cosine(make_spec):
    values = factors(make_spec("simclr", schedule="cosine"))
    assert values[0] == 1
    assert values[1500] == pytest.approx(0.5)
    assert values[1000] == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert values[-1] == pytest.approx(0, abs=1e-6)


def test_constant_schedule_is_one(make_spec):
    assert set(factors(make_spec("simclr", schedule="constant"))) == {1.0}


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_warm_up_rises_linearly_and_then_gives_way_to_the_schedule(make_spec, schedule):
    spec = make_spec("simclr", schedule=schedule, warmup_epochs=1, epochs=10)
    values = factors(spec)
    assert values[:300] == pytest.approx([step / 300 for step in range(300)])
    assert values[300] == pytest.approx(1)
    assert all(0 <= value <= 1 for value in values)


def test_a_warm_up_longer_than_the_training_never_ends(make_spec):
    spec = make_spec("simclr", warmup_epochs=4, epochs=2)
    assert rate_factor(spec, 0.5) == pytest.approx(0.25)


def test_gradients_are_applied_by_one_step_to_the_parameters_named():
    moved, still = weight(), weight()
    optimizer = sgd([moved, still], 0.1, momentum=0.0, weight_decay=0.5)
    apply_gradient(optimizer, [torch.tensor([1.0, 1.0])], [moved])
    torch.testing.assert_close(moved.detach(), weight().detach() * 0.95 - 0.1)
    assert torch.equal(still, weight())
    assert moved.grad is None
    apply_gradient(optimizer, [torch.zeros(2), torch.zeros(2)])
    torch.testing.assert_close(still.detach(), weight().detach() * 0.95)
