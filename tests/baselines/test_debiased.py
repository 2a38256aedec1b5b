"""The debiased loss against a naive formula, NT-Xent and its closed forms; its traps."""

import math

import pytest
import torch
from torch.nn import functional as F

from baselines.cmc import cmc_loss
from baselines.debiased import (
    class_prior,
    debiased_cmc_loss,
    debiased_logit_loss,
    debiased_loss,
)
from baselines.simclr import nt_xent_loss
from metaug.config import Config, DatasetScale, Scale
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.spec import TrialSpec


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_term(positive, negatives, t, tau_plus):
    """-log(pos / (pos + g)) of one anchor from its cosines, as published, without logarithms."""
    n = len(negatives)
    pos = math.exp(positive / t)
    total = sum(math.exp(s / t) for s in negatives)
    g = max((total - tau_plus * n * pos) / (1 - tau_plus), n * math.exp(-1 / t))
    return -math.log(pos / (pos + g))


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def naive_loss(z1, z2, t, tau_plus):
    terms = []
    for own, other in ((z1, z2), (z2, z1)):
        for i in range(len(z1)):
            negatives = [
                cosine(own[i], view[j]) for view in (z1, z2) for j in range(len(z1)) if j != i
            ]
            terms.append(naive_term(cosine(own[i], other[i]), negatives, t, tau_plus))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("tau_plus", [0.0, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_equals_the_naive_formula(temperature, tau_plus):
    z1 = embeddings(7, 5)
    z2 = z1 + 0.8 * embeddings(7, 5, seed=1)
    ours = debiased_loss(z1, z2, temperature, tau_plus)
    assert float(ours) == pytest.approx(naive_loss(z1, z2, temperature, tau_plus), abs=1e-8)


def test_without_prior_it_is_nt_xent():
    z1, z2 = embeddings(9, 6), embeddings(9, 6, seed=1)
    assert float(debiased_loss(z1, z2, 0.3, 0.0)) == pytest.approx(
        float(nt_xent_loss(z1, z2, 0.3)), abs=1e-12
    )


def test_orthogonal_instances_give_the_closed_form():
    z = torch.eye(256, dtype=torch.float64)
    assert float(debiased_loss(z, z, 0.5, 0.1)) == pytest.approx(3.045633, abs=1e-6)


def test_negative_term_is_clamped_at_its_least_possible_value():
    """Equal views of opposite images: the estimate is far below zero."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    t = 0.5
    least = 2 * math.exp(-1 / t)
    expected = -math.log(math.exp(1 / t) / (math.exp(1 / t) + least))
    assert float(debiased_loss(z, z, t, 0.3)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 0.07, 0.01])
def test_clamped_anchors_give_finite_gradients(temperature):
    z1 = embeddings(6, 4).float().requires_grad_()
    z2 = (z1.detach() + 0.01).requires_grad_()
    debiased_loss(z1, z2, temperature, 0.3).backward()
    assert torch.isfinite(z1.grad).all()
    assert torch.isfinite(z2.grad).all()


def test_an_estimate_of_exactly_zero_is_clamped_with_finite_gradients():
    """Its logarithm has an infinite gradient, and infinity times the clamp's zero is NaN."""
    positive = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    negative = torch.tensor([math.log(0.5)], dtype=torch.float64, requires_grad=True)
    assert float(negative.detach().exp()) == 0.5 * float(positive.detach().exp())
    loss = debiased_logit_loss(positive, negative, 3, 0.4, 0.5)
    assert float(loss.detach()) == pytest.approx(math.log(1 + 3 * math.exp(-1 / 0.4)))
    loss.backward()
    assert torch.isfinite(positive.grad).all()
    assert float(negative.grad) == 0


def test_clamped_negatives_get_no_gradient():
    anchor = torch.tensor([[1.0, 0.1]], requires_grad=True)
    negatives = torch.tensor([[-1.0, 0.2], [-1.0, -0.3]], requires_grad=True)
    debiased_cmc_loss(anchor, torch.tensor([[1.0, 0.0]]), negatives, 0.5, 0.3).backward()
    assert negatives.grad.abs().max() == 0
    assert anchor.grad.abs().max() > 0


def test_gradient_flows_through_both_views_and_matches_finite_differences():
    z1 = embeddings(4, 3).requires_grad_()
    z2 = embeddings(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: debiased_loss(a, b, 0.5, 0.1), (z1, z2))


@pytest.mark.parametrize("tau_plus", [0.0, 0.01, 0.1])
def test_bank_form_equals_the_naive_formula(tau_plus):
    anchor, positive, shared = embeddings(5, 4), embeddings(5, 4, seed=1), embeddings(11, 4, seed=2)
    own = embeddings(5, 11, 4, seed=3)
    for negatives, rows in ((shared, lambda i: shared), (own, lambda i: own[i])):
        naive = [
            naive_term(
                cosine(anchor[i], positive[i]),
                [cosine(anchor[i], row) for row in rows(i)],
                0.4,
                tau_plus,
            )
            for i in range(5)
        ]
        ours = debiased_cmc_loss(anchor, positive, negatives, 0.4, tau_plus)
        assert float(ours) == pytest.approx(sum(naive) / 5, abs=1e-8)


def test_bank_form_without_prior_is_the_cmc_loss():
    anchor, positive, negatives = (embeddings(n, 4, seed=n) for n in (5, 5, 12))
    negatives = torch.cat([negatives, anchor.roll(1, 0)])
    positive = positive[:5]
    assert float(debiased_cmc_loss(anchor, positive, negatives, 0.07, 0.0)) == pytest.approx(
        float(cmc_loss(anchor, positive, negatives, 0.07)), abs=1e-10
    )


@pytest.mark.parametrize(("classes", "prior"), [(10, 0.1), (100, 0.01), (200, 0.01)])
def test_prior_is_one_over_the_classes_unless_given(classes, prior):
    assert class_prior(None, DataShape(1000, classes)) == pytest.approx(prior)
    assert class_prior(0.03, DataShape(1000, classes)) == 0.03


def spec_of(method, views, **hyper):
    return TrialSpec(
        scale="test",
        dataset="digits_m",
        image_size=32,
        method=method,
        backbone="alexnet",
        width=1 / 32,
        views=views,
        augmentation="cmc",
        batch_size=8,
        epochs=1,
        learning_rate=0.1,
        hyper=hyper,
    )


def batch_of(images=8, crops=2):
    source = torch.Generator().manual_seed(0)
    return Batch(
        crops=tuple(torch.rand(images, 3, 32, 32, generator=source) for _ in range(crops)),
        index=torch.arange(images),
        labels=torch.zeros(images, dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=lambda purpose: source,
    )


def test_simclr_with_prior_zero_is_simclr():
    losses = []
    for name, hyper in (("simclr", {}), ("simclr_debiased", {"tau_plus": 0.0})):
        spec = spec_of(name, ("rgb",), **hyper)
        method = build_method(spec, DataShape(8, 10), trial=0)
        losses.append(float(method.training_step(batch_of())[0].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_cmc_with_prior_zero_is_cmc_and_with_a_prior_is_not():
    losses = []
    hypers = ({"negatives": 32}, {"negatives": 32, "tau_plus": 0.0}, {"negatives": 32})
    for name, hyper in zip(("cmc", "cmc_debiased", "cmc_debiased"), hypers, strict=True):
        method = build_method(spec_of(name, ("l", "ab"), **hyper), DataShape(8, 10), trial=0)
        losses.append(float(method.training_step(batch_of(crops=1))[0].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert abs(losses[0] - losses[2]) > 1e-3


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={},
        spec={"augmentation": "cmc", "batch_size": 64, "epochs": 1, "learning_rate": 0.1},
    )
    return Grid(scale, Config())


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("simclr_debiased", "digits_m", preset="own")
    assert (spec.batch_size, spec.optimizer, spec.hyper["tau_plus"]) == (256, "adam", 0.1)


def test_normalised_and_raw_embeddings_give_the_same_loss():
    z1, z2 = embeddings(5, 3), embeddings(5, 3, seed=1)
    unit = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    assert float(debiased_loss(3 * z1, 5 * z2, 0.5, 0.1)) == pytest.approx(
        float(debiased_loss(*unit, 0.5, 0.1)), abs=1e-12
    )
