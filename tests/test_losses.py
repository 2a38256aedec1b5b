"""The losses of MetAug against naive float64 formulas and their known values."""

import math

import pytest
import torch

from metaug.losses import (
    margin_regularization,
    margins,
    oucl_loss,
    similarity,
    softplus,
    unified_loss,
    weighted_oucl_loss,
)

BETAS = (0.5, 4.0, 16.0, 64.0)


def similarities(*shape, seed=0):
    """Uniform on [0, 1], float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def double_sum(positives, negatives, beta, term):
    """1/β ln(1 + ΣΣ exp(β term(d+, d-))), pair by pair, mean over samples."""
    values = []
    for own, others in zip(positives.tolist(), negatives.tolist(), strict=True):
        total = sum(math.exp(beta * term(p, n)) for p in own for n in others)
        values.append(math.log(1 + total) / beta)
    return sum(values) / len(values)


@pytest.fixture
def pairs():
    return similarities(4, 6), similarities(4, 31, seed=1)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_unified_loss_is_the_double_sum_of_eq_8(pairs, beta, margin):
    expected = double_sum(*pairs, beta, lambda p, n: n - p + margin)
    assert unified_loss(*pairs, beta=beta, margin=margin).item() == pytest.approx(
        expected, rel=0, abs=1e-10
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.4])
def test_oucl_loss_is_the_double_sum_of_eq_10(pairs, beta, gamma):
    expected = double_sum(*pairs, beta, lambda p, n: (p - 1) ** 2 + n**2 - 2 * gamma**2)
    assert oucl_loss(*pairs, beta=beta, gamma=gamma).item() == pytest.approx(
        expected, rel=0, abs=1e-10
    )


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("decay", [1.0, 6.0])
def test_weighted_oucl_loss_is_the_double_sum_of_eq_9(pairs, beta, decay, gamma=0.4):
    def term(p, n):
        weight_positive = max(1 + gamma - p, 0) / decay
        weight_negative = max(n + gamma, 0) / decay
        return weight_negative * (n - gamma) - weight_positive * (p - (1 - gamma))

    expected = double_sum(*pairs, beta, term)
    for detach in (False, True):
        value = weighted_oucl_loss(*pairs, beta=beta, gamma=gamma, decay=decay, detach=detach)
        assert value.item() == pytest.approx(expected, rel=0, abs=1e-10)


@pytest.mark.parametrize("beta", BETAS)
def test_eq_9_with_the_optima_substituted_is_eq_10(pairs, beta):
    weighted = weighted_oucl_loss(*pairs, beta=beta, gamma=0.4)
    torch.testing.assert_close(
        weighted, oucl_loss(*pairs, beta=beta, gamma=0.4), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("detach", [False, True])
def test_gradients_of_eq_9_and_10_are_equal_only_if_the_weights_are_not_detached(pairs, detach):
    leaves = [d.requires_grad_() for d in pairs]
    weighted = weighted_oucl_loss(*leaves, beta=16, gamma=0.4, detach=detach)
    plain = oucl_loss(*leaves, beta=16, gamma=0.4)
    for a, b in zip(
        torch.autograd.grad(weighted, leaves), torch.autograd.grad(plain, leaves), strict=True
    ):
        difference = (a - b).norm() / b.norm()
        assert difference > 0.05 if detach else difference < 1e-12


def test_a_detached_weight_pulls_on_a_positive_that_is_at_its_optimum():
    positive = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    negative = torch.full((1, 1), 0.5, dtype=torch.float64)

    def pull(detach):
        loss = weighted_oucl_loss(positive, negative, beta=16, gamma=0.4, detach=detach)
        return torch.autograd.grad(loss, positive)[0].item()

    assert pull(detach=False) == pytest.approx(0, abs=1e-12)
    assert pull(detach=True) < -0.01


@pytest.mark.parametrize(
    "loss, options, positive, negative, expected_4096, expected_1024",
    [
        pytest.param(unified_loss, {"margin": 0}, 0.3, 0.3, 0.743831, 0.657189, id="eq-8-equal"),
        pytest.param(unified_loss, {"margin": 0}, 1.0, 0.0, 0.001029, 0.000259, id="eq-8-apart"),
        pytest.param(oucl_loss, {"gamma": 0.4}, 1.0, 0.0, 0.423901, 0.337470, id="eq-10-apart"),
        pytest.param(oucl_loss, {"gamma": 0.4}, 0.5, 0.5, 0.923830, 0.837187, id="eq-10-half"),
    ],
)
def test_known_values(loss, options, positive, negative, expected_4096, expected_1024):
    for negatives, expected in ((4096, expected_4096), (1024, expected_1024)):
        value = loss(
            torch.full((2, 6), positive, dtype=torch.float64),
            torch.full((2, 6 * negatives), negative, dtype=torch.float64),
            beta=16,
            **options,
        )
        assert value.item() == pytest.approx(expected, rel=0, abs=5e-7)


def released_loss(positive_cosines, negative_cosines, scale=16, positive_shift=0, negative_shift=0):
    """The release's formula with its flags, sample by sample."""
    total = 0.0
    for own, others in zip(positive_cosines.tolist(), negative_cosines.tolist(), strict=True):
        negative = sum(math.exp(scale * ((1 + c) / 2 - negative_shift)) for c in others)
        positive = sum(math.exp(-scale * ((1 + c) / 2 - positive_shift)) for c in own)
        total += 16 / scale * math.log1p(negative * positive)
    return total / len(positive_cosines)


def test_the_release_computes_sixteen_times_eq_8(pairs):
    cosines = [2 * d - 1 for d in pairs]
    value = 16 * unified_loss(*(similarity(c) for c in cosines), beta=16, margin=0)
    assert value.item() == pytest.approx(released_loss(*cosines), rel=1e-10)


def test_the_releases_disabled_margin_is_lambda_one_half(pairs, m=0.25):
    cosines = [2 * d - 1 for d in pairs]
    expected = released_loss(*cosines, positive_shift=1 - m, negative_shift=m)
    value = 16 * unified_loss(*pairs, beta=16, margin=0.5)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_the_margin_of_eq_8_limits_the_loss_for_large_beta(pairs):
    positives, negatives = pairs
    hinge = (negatives.amax(1) - positives.amin(1) + 0.2).clamp(min=0).mean()
    torch.testing.assert_close(unified_loss(*pairs, beta=1e5, margin=0.2), hinge, rtol=0, atol=1e-3)


@pytest.mark.parametrize("loss, option", [(unified_loss, "margin"), (oucl_loss, "gamma")])
def test_float32_does_not_overflow_for_large_beta(loss, option):
    positives, negatives = similarities(4, 6).float(), similarities(4, 500).float()
    value = loss(positives, negatives, beta=1e4, **{option: 0.0})
    expected = loss(positives.double(), negatives.double(), beta=1e4, **{option: 0.0})
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_softplus_is_exact_and_differentiable_twice_everywhere():
    x = torch.tensor([-1e4, -30.0, -1.0, 0.0, 1.0, 19.0, 21.0, 1e4], dtype=torch.float64)
    value = softplus(x.requires_grad_())
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    exact = [v if v > 700 else math.log1p(math.exp(v)) for v in x.tolist()]
    sigmoid = [1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in x.tolist()]
    assert value.tolist() == pytest.approx(exact, rel=1e-14, abs=1e-300)
    assert slope.tolist() == pytest.approx(sigmoid, rel=1e-12)
    assert curvature.tolist() == pytest.approx([s * (1 - s) for s in sigmoid], rel=1e-6, abs=1e-12)


def test_gamma_of_eq_10_only_shifts_the_softplus(pairs, beta=4.0, gamma=0.4):
    without = (beta * oucl_loss(pairs[0][:1], pairs[1][:1], beta=beta, gamma=0.0)).expm1().log()
    shifted = torch.log1p((without - 2 * beta * gamma**2).exp()) / beta
    value = oucl_loss(pairs[0][:1], pairs[1][:1], beta=beta, gamma=gamma)
    torch.testing.assert_close(value, shifted, rtol=1e-10, atol=0)


def test_losses_reduce_over_the_last_axis_and_average_the_others():
    positives, negatives = similarities(2, 3, 6), similarities(2, 3, 31, seed=1)
    for loss in (
        lambda p, n: unified_loss(p, n, beta=16, margin=0),
        lambda p, n: oucl_loss(p, n, beta=16, gamma=0.4),
        lambda p, n: weighted_oucl_loss(p, n, beta=16, gamma=0.4),
    ):
        each = [loss(positives[i, j], negatives[i, j]) for i in range(2) for j in range(3)]
        torch.testing.assert_close(loss(positives, negatives), torch.stack(each).mean())


def test_similarity_maps_cosines_to_the_unit_interval():
    cosines = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])
    assert similarity(cosines).tolist() == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    "positives, negatives",
    [
        pytest.param([0.9, 0.7], [0.1, 0.4], id="separable"),
        pytest.param([0.9, 0.3], [0.1, 0.6], id="overlapping"),
    ],
)
def test_margins_of_eq_4(positives, negatives):
    positives, negatives = torch.tensor([positives]), torch.tensor([negatives])
    lowest, highest = positives.min().item(), negatives.max().item()

    def sizes(size):
        return tuple(sigma.item() for sigma in margins(positives, negatives, size))

    assert sizes("large") == (min(lowest, highest), max(lowest, highest))
    assert sizes("small") == (max(lowest, highest), min(lowest, highest))
    assert sizes("medium") == pytest.approx(((lowest + highest) / 2,) * 2)


def test_margins_are_ordered_by_size():
    positives, negatives = similarities(50, 6), similarities(50, 31, seed=1)
    large, medium, small = (
        margins(positives, negatives, size) for size in ("large", "medium", "small")
    )
    assert all(sigma.shape == (50,) for sigma in (*large, *medium, *small))
    assert (large[0] <= large[1]).all()
    assert (medium[0] == medium[1]).all()
    assert (small[0] >= small[1]).all()


def test_regularization_of_eq_5():
    positives, negatives = similarities(5, 6), similarities(5, 31, seed=1)
    above = [max(d - 0.3, 0) for d in positives.flatten().tolist()]
    below = [max(0.6 - d, 0) for d in negatives.flatten().tolist()]
    for weight in (1.0, 1e-4):
        value = margin_regularization(positives, negatives, 0.3, 0.6, positive_weight=weight)
        expected = weight * sum(above) / len(above) + sum(below) / len(below)
        assert value.item() == pytest.approx(expected, rel=1e-12)


def test_regularization_with_a_margin_for_each_sample():
    positives, negatives = similarities(5, 6), similarities(5, 31, seed=1)
    sigma_pos, sigma_neg = similarities(5, 1, seed=2), similarities(5, 1, seed=3)
    each = [
        margin_regularization(positives[i], negatives[i], sigma_pos[i], sigma_neg[i])
        for i in range(5)
    ]
    value = margin_regularization(positives, negatives, sigma_pos, sigma_neg)
    torch.testing.assert_close(value, torch.stack(each).mean())


def test_both_parts_of_the_regularization_act_when_the_originals_are_separable():
    """Augmented features equal to the originals, Large margins, min+ > max-: sigma+ = max- and
    sigma- = min+, so every positive is above and every negative below its margin."""
    positives, negatives = 0.7 + 0.3 * similarities(4, 6), 0.4 * similarities(4, 31, seed=1)
    sigma_pos, sigma_neg = margins(positives.flatten(), negatives.flatten(), "large")
    assert sigma_pos == negatives.max()
    assert sigma_neg == positives.min()
    above = margin_regularization(positives, torch.ones(1), sigma_pos, 0.0)
    below = margin_regularization(torch.zeros(1), negatives, 1.0, sigma_neg)
    assert above > 0
    assert below > 0
    both = margin_regularization(positives, negatives, sigma_pos, sigma_neg)
    torch.testing.assert_close(both, above + below)
