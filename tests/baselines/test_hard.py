"""The loss with hard negatives against a naive formula, DCL, NT-Xent; its traps."""

import math

import pytest
import torch

from baselines.debiased import debiased_cmc_loss, debiased_loss
from baselines.hard import hard_negative_cmc_loss, hard_negative_loss
from baselines.simclr import nt_xent_loss
from metaug.config import Config, DatasetScale, Scale
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.spec import TrialSpec


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def naive_term(positive, negatives, t, tau_plus, beta):
    """One anchor from its cosines, as published, without logarithms."""
    n = len(negatives)
    pos = math.exp(positive / t)
    neg = [math.exp(s / t) for s in negatives]
    weights = [value**beta for value in neg]
    reweighted = sum(w * value for w, value in zip(weights, neg, strict=True))
    reweighted /= sum(weights) / n
    g = max((reweighted - tau_plus * n * pos) / (1 - tau_plus), n * math.exp(-1 / t))
    return -math.log(pos / (pos + g))


def naive_loss(z1, z2, t, tau_plus, beta):
    terms = []
    for own, other in ((z1, z2), (z2, z1)):
        for i in range(len(z1)):
            negatives = [
                cosine(own[i], view[j]) for view in (z1, z2) for j in range(len(z1)) if j != i
            ]
            terms.append(naive_term(cosine(own[i], other[i]), negatives, t, tau_plus, beta))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("temperature", "tau_plus"), [(0.07, 0.01), (0.5, 0.1), (1.0, 0.0)])
def test_equals_the_naive_formula(temperature, tau_plus, beta):
    z1 = embeddings(7, 5)
    z2 = z1 + 0.8 * embeddings(7, 5, seed=1)
    ours = hard_negative_loss(z1, z2, temperature, tau_plus, beta)
    naive = naive_loss(z1, z2, temperature, tau_plus, beta)
    assert float(ours) == pytest.approx(naive, abs=1e-8)


def test_without_concentration_it_is_the_debiased_loss():
    z1, z2 = embeddings(9, 6), embeddings(9, 6, seed=1)
    assert float(hard_negative_loss(z1, z2, 0.3, 0.1, 0.0)) == pytest.approx(
        float(debiased_loss(z1, z2, 0.3, 0.1)), abs=1e-12
    )
    assert float(hard_negative_loss(z1, z2, 0.3, 0.0, 0.0)) == pytest.approx(
        float(nt_xent_loss(z1, z2, 0.3)), abs=1e-12
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("tau_plus", [0.0, 0.1])
def test_equal_embeddings_give_the_logarithm_of_one_plus_the_negatives(tau_plus, beta):
    """It holds only if the weights are normalised by their mean: by their sum it would be ln 2."""
    z = torch.ones(6, 4, dtype=torch.float64)
    loss = hard_negative_loss(z, z, 0.5, tau_plus, beta)
    assert float(loss) == pytest.approx(math.log(1 + 10), abs=1e-9)


def test_the_positive_is_not_among_the_weighted_negatives():
    """At a large concentration the closest negative decides; the positive is closer still."""
    z = torch.eye(8, dtype=torch.float64)
    loss = hard_negative_loss(z, z, 0.5, 0.0, 50.0)
    assert float(loss) == pytest.approx(math.log(1 + 14 * math.exp(-2)), abs=1e-9)


@pytest.mark.parametrize(("temperature", "beta"), [(0.01, 1.0), (0.07, 20.0), (0.01, 100.0)])
def test_large_concentration_and_small_temperature_stay_finite(temperature, beta):
    """exp((1 + beta) s / t) overflows float32; on the log scale nothing does."""
    assert (1 + beta) / temperature > 88
    z1 = embeddings(8, 4).float().requires_grad_()
    z2 = embeddings(8, 4, seed=1).float().requires_grad_()
    loss = hard_negative_loss(z1, z2, temperature, 0.1, beta)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z1.grad).all()
    assert float(loss.detach()) == pytest.approx(
        float(hard_negative_loss(z1.double(), z2.double(), temperature, 0.1, beta).detach()),
        rel=1e-4,
    )


def test_gradient_flows_through_the_weights():
    z1 = embeddings(4, 3).requires_grad_()
    z2 = embeddings(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: hard_negative_loss(a, b, 0.5, 0.1, 1.0), (z1, z2))


def test_bank_form_equals_the_naive_formula():
    anchor, positive, shared = embeddings(5, 4), embeddings(5, 4, seed=1), embeddings(11, 4, seed=2)
    naive = [
        naive_term(
            cosine(anchor[i], positive[i]), [cosine(anchor[i], r) for r in shared], 0.4, 0.05, 1.5
        )
        for i in range(5)
    ]
    ours = hard_negative_cmc_loss(anchor, positive, shared, 0.4, 0.05, 1.5)
    assert float(ours) == pytest.approx(sum(naive) / 5, abs=1e-8)
    per_image = hard_negative_cmc_loss(anchor, positive, shared.expand(5, -1, -1), 0.4, 0.05, 1.5)
    assert float(per_image) == pytest.approx(float(ours), abs=1e-12)
    assert float(hard_negative_cmc_loss(anchor, positive, shared, 0.4, 0.05, 0.0)) == pytest.approx(
        float(debiased_cmc_loss(anchor, positive, shared, 0.4, 0.05)), abs=1e-12
    )


@pytest.mark.parametrize(
    ("name", "base", "views"),
    [("simclr_hard", "simclr_debiased", ("rgb",)), ("cmc_hard", "cmc_debiased", ("l", "ab"))],
)
def test_methods_use_their_concentration(name, base, views):
    def loss_of(method, **hyper):
        spec = TrialSpec(
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
            hyper={**hyper, **({"negatives": 32} if "cmc" in method else {})},
        )
        source = torch.Generator().manual_seed(0)
        batch = Batch(
            crops=tuple(torch.rand(8, 3, 32, 32, generator=source) for _ in range(2)),
            index=torch.arange(8),
            labels=torch.zeros(8, dtype=torch.int64),
            epoch=0,
            pass_index=0,
            step=0,
            progress=0.0,
            draws=lambda purpose: source,
        )
        built = build_method(spec, DataShape(8, 100), trial=0)
        return float(built.training_step(batch)[0].detach())

    assert loss_of(name, hard_beta=0.0) == pytest.approx(loss_of(base), abs=1e-5)
    assert abs(loss_of(name) - loss_of(base)) > 1e-3


def test_own_recipe_is_a_valid_spec():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={},
        spec={"augmentation": "cmc", "batch_size": 64, "epochs": 1, "learning_rate": 0.1},
    )
    spec = Grid(scale, Config()).spec("simclr_hard", "digits_m", preset="own")
    assert (spec.batch_size, spec.hyper["hard_beta"], spec.hyper["tau_plus"]) == (256, 1.0, 0.1)
