import copy
import math

import pytest
import torch
from torch import nn

from metaug.ema import cosine_momentum, ema_update, frozen, momentum_copy


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def test_every_parameter_is_the_weighted_mean_of_target_and_online():
    target, online = frozen(network(0)), network(1)
    before = copy.deepcopy(target)
    ema_update(target, online, 0.9)
    for new, old, source in zip(
        target.parameters(), before.parameters(), online.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * source, rtol=1e-6, atol=1e-7)


def test_momentum_zero_copies_and_momentum_one_changes_nothing():
    target, online = frozen(network(0)), network(1)
    before = copy.deepcopy(target)
    ema_update(target, online, 1.0)
    for new, old in zip(target.parameters(), before.parameters(), strict=True):
        assert torch.equal(new, old)
    ema_update(target, online, 0.0)
    for new, source in zip(target.parameters(), online.parameters(), strict=True):
        assert torch.equal(new, source)


def test_running_statistics_are_the_targets_own():
    online = network(0)
    target = momentum_copy(online).train()
    batch = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    online(batch + 5)
    target(batch)
    own = {name: buffer.clone() for name, buffer in target.named_buffers()}
    ema_update(target, online, 0.5)
    for name, buffer in target.named_buffers():
        assert torch.equal(buffer, own[name])
    assert not torch.equal(target[1].running_mean, online[1].running_mean)


def test_a_momentum_copy_starts_equal_apart_and_without_gradients():
    online = network(0)
    target = momentum_copy(online)
    assert all(not p.requires_grad for p in target.parameters())
    assert all(p.requires_grad for p in online.parameters())
    for new, source in zip(target.parameters(), online.parameters(), strict=True):
        assert torch.equal(new, source)
        assert new.data_ptr() != source.data_ptr()


def test_networks_of_other_shape_are_refused():
    with pytest.raises(ValueError, match="6 and 2 parameter tensors"):
        ema_update(network(0), nn.Linear(3, 4), 0.9)


@pytest.mark.parametrize("start", [0.0, 0.9, 0.996])
def test_cosine_momentum_is_the_published_schedule(start):
    steps = 7
    for k in range(steps + 1):
        published = 1 - (1 - start) * (math.cos(math.pi * k / steps) + 1) / 2
        assert cosine_momentum(start, k / steps) == pytest.approx(published, abs=1e-12)
    assert cosine_momentum(start, 0) == pytest.approx(start, abs=1e-12)
    assert cosine_momentum(start, 1) == 1
