"""BYOL's loss against a naive formula and lightly; the traps of its target network."""

import copy
import dataclasses
import math

import lightly.loss
import pytest
import torch

import baselines.byol
from baselines.byol import byol_loss
from metaug.ema import cosine_momentum
from metaug.errors import UserError
from metaug.training.loop import train


def embeddings(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 5, generator=generator, dtype=torch.float64)


def test_equals_the_naive_formula():
    p1, p2, z1, z2 = (embeddings(seed) for seed in range(4))
    total = 0.0
    for i in range(6):
        for p, z in ((p1[i], z2[i]), (p2[i], z1[i])):
            total += float(((p / p.norm() - z / z.norm()) ** 2).sum())
    assert float(byol_loss(p1, p2, z1, z2)) == pytest.approx(total / 6, abs=1e-8)


def test_is_zero_for_equal_and_eight_for_opposite_directions():
    z1, z2 = embeddings(0), embeddings(1)
    assert float(byol_loss(3 * z2, 2 * z1, z1, z2)) == pytest.approx(0, abs=1e-9)
    assert float(byol_loss(-3 * z2, -2 * z1, z1, z2)) == pytest.approx(8, abs=1e-9)


def test_the_two_directions_are_summed():
    z1, z2 = embeddings(0), embeddings(1)
    assert float(byol_loss(-z2, z1, z1, z2)) == pytest.approx(4, abs=1e-9)


def test_agrees_with_lightly_up_to_its_convention():
    """lightly's recipe averages two negative cosines: a quarter of our gradient, shifted."""
    p1, p2, z1, z2 = (embeddings(seed) for seed in range(4))
    criterion = lightly.loss.NegativeCosineSimilarity()
    theirs = 0.5 * (criterion(p1, z2) + criterion(p2, z1))
    assert float(byol_loss(p1, p2, z1, z2)) == pytest.approx(float(4 * theirs + 4), abs=1e-9)


def test_gradient_flows_through_the_predictions_alone():
    tensors = [embeddings(seed).requires_grad_() for seed in range(4)]
    byol_loss(*tensors).backward()
    assert all(p.grad.abs().sum() > 0 for p in tensors[:2])
    assert all(z.grad is None for z in tensors[2:])


def test_the_method_predicts_the_target_of_the_other_crop(make_spec, make_batch, ready):
    method = ready(make_spec("byol"))
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    encoder, projector = method.target_network
    with torch.no_grad():
        p1, p2 = (method.predictor(method.online_network(x)) for x in rgb(batch))
        z1, z2 = (projector(encoder(x)) for x in rgb(batch))
    torch.testing.assert_close(loss.detach(), byol_loss(p1, p2, z1, z2))
    assert not torch.isclose(loss.detach(), byol_loss(p1, p2, z2, z1), rtol=1e-3)


def rgb(batch):
    """The normalised crops, as an encoder sees them."""
    return [batch.views(("rgb",), crop)["rgb"] for crop in (0, 1)]


def test_the_target_follows_after_the_step(make_spec, make_batch, ready):
    """With momentum 0 at the first step the target is the online network as the step left it."""
    method = ready(make_spec("byol", momentum_start=0.0))
    before = copy.deepcopy(method.online_network)
    method.update(dataclasses.replace(make_batch(method), progress=0.0))
    pairs = zip(
        method.target_network.parameters(),
        method.online_network.parameters(),
        before.parameters(),
        strict=True,
    )
    for target, online, old in pairs:
        assert torch.equal(target, online)
        assert not torch.equal(online, old)


def test_the_momentum_of_a_step_is_that_of_the_schedule(make_spec, make_batch, ready):
    method = ready(make_spec("byol", momentum_start=0.9))
    before = [p.clone() for p in method.target_network.parameters()]
    method.update(dataclasses.replace(make_batch(method), progress=0.5))
    online = method.online_network.parameters()
    for target, old, new in zip(method.target_network.parameters(), before, online, strict=True):
        torch.testing.assert_close(target, 0.95 * old + 0.05 * new, rtol=1e-5, atol=1e-6)


def test_the_schedule_counts_steps_not_epochs(
    make_spec, training_set, quiet_runtime, tmp_path, monkeypatch
):
    seen = []

    def spy(start, progress):
        seen.append(cosine_momentum(start, progress))
        return seen[-1]

    monkeypatch.setattr(baselines.byol, "cosine_momentum", spy)
    train(make_spec("byol"), 0, training_set, tmp_path, quiet_runtime)
    steps = 2 * (24 // 8)
    expected = [1 - 0.01 * (math.cos(math.pi * k / steps) + 1) / 2 for k in range(steps)]
    assert seen == pytest.approx(expected, abs=1e-12)


def test_the_target_starts_apart_and_normalises_by_its_own_batches(make_spec, make_batch, ready):
    method = ready(make_spec("byol", momentum_start=0.0))
    first = next(method.target_network.parameters())
    assert not torch.equal(first, next(method.online_network.parameters()))
    assert all(module.training for module in method.target_network.modules())
    method.update(dataclasses.replace(make_batch(method), progress=0.0))
    own = [b for b in method.target_network.buffers() if b.is_floating_point()]
    others = [b for b in method.online_network.buffers() if b.is_floating_point()]
    assert all(not torch.equal(a, b) for a, b in zip(own, others, strict=True))
    assert all((b - b.round()).abs().sum() > 0 for b in own)  # no longer zeros and ones


def test_the_target_is_not_optimised_and_the_predictor_is(make_spec, ready):
    method = ready(make_spec("byol"))
    optimised = {id(p) for g in method.optimizers["encoder"].param_groups for p in g["params"]}
    learned = [*method.online_network.parameters(), *method.predictor.parameters()]
    assert optimised == {id(p) for p in learned}


def test_several_views_are_refused(make_spec):
    with pytest.raises(UserError, match="byol trains one encoder: give it one view"):
        make_spec("byol", views=["l", "ab"])


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("byol", "resnet18", preset="own")
    # lightly's 0.06 and 5e-4 for a loss of a quarter of the gradient
    assert spec.learning_rate * 4 == pytest.approx(0.06)
    assert spec.learning_rate * spec.weight_decay == pytest.approx(0.06 * 5e-4)
