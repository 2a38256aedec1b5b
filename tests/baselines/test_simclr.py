import math

import pytest
import torch
from lightly.loss import NTXentLoss

from baselines.simclr import nt_xent_loss


def embeddings(n, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def naive_loss(z1, z2, temperature):
    """Anchor by anchor: all but the anchor itself in the denominator."""
    z = [row / row.norm() for row in torch.cat([z1, z2])]
    total = 0.0
    for i, anchor in enumerate(z):
        positive = math.exp(float(anchor @ z[(i + len(z1)) % len(z)]) / temperature)
        others = (math.exp(float(anchor @ z[k]) / temperature) for k in range(len(z)) if k != i)
        total -= math.log(positive / sum(others))
    return total / len(z)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_loss_equals_a_naive_loop(temperature):
    z1, z2 = embeddings(5), embeddings(5, seed=1)
    value = nt_xent_loss(z1, z2, temperature).item()
    assert value == pytest.approx(naive_loss(z1, z2, temperature), rel=1e-8)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradient_are_lightlys(temperature):
    """Same convention: both normalise, both average over the 2N anchors."""
    ours = [embeddings(6).requires_grad_(), embeddings(6, seed=1).requires_grad_()]
    theirs = [z.detach().clone().requires_grad_() for z in ours]
    value, reference = nt_xent_loss(*ours, temperature), NTXentLoss(temperature)(*theirs)
    torch.testing.assert_close(value, reference, rtol=1e-6, atol=0)
    value.backward()
    reference.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-8)


def test_the_official_code_returns_twice_this():
    """Sum of two directions' means: each has one view as anchors, both views as candidates."""
    z1, z2 = (z / z.norm(dim=1, keepdim=True) for z in (embeddings(5), embeddings(5, seed=1)))

    def direction(a, b):
        own = torch.einsum("nd,nd->n", a, b) / 0.5
        inner = ((a @ a.T) / 0.5).masked_fill(torch.eye(5, dtype=torch.bool), -torch.inf)
        return (torch.cat([a @ b.T / 0.5, inner], 1).logsumexp(1) - own).mean()

    official = direction(z1, z2) + direction(z2, z1)
    torch.testing.assert_close(official, 2 * nt_xent_loss(z1, z2, 0.5))


@pytest.mark.parametrize("n", [2, 7])
def test_equal_embeddings_give_the_log_of_the_candidates(n):
    z = torch.ones(n, 4, dtype=torch.float64)
    assert nt_xent_loss(z, z, 0.3).item() == pytest.approx(math.log(2 * n - 1))


def test_equal_views_of_orthogonal_instances_give_the_known_value():
    z = torch.eye(256, dtype=torch.float64)
    value = nt_xent_loss(z, z, 0.5).item()
    assert value == pytest.approx(math.log(1 + 510 * math.exp(-2)))
    assert value == pytest.approx(4.24880, abs=5e-6)


def test_lengths_of_embeddings_do_not_matter():
    z1, z2 = embeddings(5), embeddings(5, seed=1)
    torch.testing.assert_close(nt_xent_loss(3 * z1, 0.2 * z2, 0.5), nt_xent_loss(z1, z2, 0.5))


def test_the_loss_is_symmetric_and_gradient_flows_into_both_views():
    z1, z2 = embeddings(5).requires_grad_(), embeddings(5, seed=1).requires_grad_()
    torch.testing.assert_close(nt_xent_loss(z1, z2, 0.5), nt_xent_loss(z2, z1, 0.5))
    nt_xent_loss(z1, z2, 0.5).backward()
    assert z1.grad.abs().min() > 0
    assert z2.grad.abs().min() > 0


def test_the_method_contrasts_the_projections_of_two_crops(make_spec, ready, make_batch):
    method = ready(make_spec("simclr"))
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        z1, z2 = (method.projector(method.encode(crop)) for crop in batch.crops)
    torch.testing.assert_close(loss.detach(), nt_xent_loss(z1, z2, 0.5))


def test_the_own_preset_is_lightlys_recipe(make_spec):
    spec = make_spec("simclr", "resnet18", preset="own")
    assert spec.augmentation == ("simclr",)
    assert (spec.batch_size, spec.learning_rate, spec.weight_decay) == (128, 0.06, 5e-4)
    assert spec.schedule == "cosine"
    assert (spec.hyper["projector_hidden"], spec.hyper["temperature"]) == (512, 0.5)
