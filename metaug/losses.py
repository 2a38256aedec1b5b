"""Losses and margins of MetAug on plain similarity tensors.

Similarities d lie in [0, 1] (`similarity` makes them from cosines). Every unified loss has the form

    softplus(log sum exp a(d-) + log sum exp b(d+)) / beta,

since the double sum over pairs of Eq. 8, 9 and 10 factorises: the cost is linear in K+ + K- and
nothing overflows, whatever beta is. `a` and `b` are the *exponents* of a form.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

MarginSize = Literal["large", "medium", "small"]


def similarity(cosine: Tensor, kind: Literal["shifted", "clamped"] = "shifted") -> Tensor:
    """Map cosines in [-1, 1] to similarities in [0, 1], elementwise.

    `shifted` is (1 + cos) / 2, as in the released code; `clamped` is max(cos, 0). The paper only
    says that d lies in [0, 1] "by normalising" (section 3.1).
    """
    return (1 + cosine) / 2 if kind == "shifted" else cosine.clamp(0, 1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp x), elementwise and exact everywhere; torch's own is x above 20, off by 2e-9."""
    return -F.logsigmoid(-x)


def unified_exponents(
    positives: Tensor, negatives: Tensor, *, beta: float, margin: float
) -> tuple[Tensor, Tensor]:
    """Exponents of Eq. 8, elementwise: -beta d+ and beta (d- + lambda)."""
    return -beta * positives, beta * (negatives + margin)


def oucl_exponents(
    positives: Tensor, negatives: Tensor, *, beta: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """Exponents of Eq. 10, elementwise: beta ((d+ - 1)^2 - gamma^2), beta ((d-)^2 - gamma^2)."""
    constant = beta * gamma**2
    return beta * (positives - 1).square() - constant, beta * negatives.square() - constant


def weighted_oucl_exponents(
    positives: Tensor,
    negatives: Tensor,
    *,
    beta: float,
    gamma: float,
    decay: float = 1.0,
    detach: bool = False,
) -> tuple[Tensor, Tensor]:
    """Exponents of Eq. 9, elementwise, with O+ = 1 + gamma, O- = -gamma, gamma+ = 1 - gamma,
    gamma- = gamma, and the weights Γ divided by `decay`."""
    weight_positive = (1 + gamma - positives).clamp(min=0) / decay
    weight_negative = (negatives + gamma).clamp(min=0) / decay
    if detach:
        weight_positive, weight_negative = weight_positive.detach(), weight_negative.detach()
    return (
        -beta * weight_positive * (positives - (1 - gamma)),
        beta * weight_negative * (negatives - gamma),
    )


def unified_loss(positives: Tensor, negatives: Tensor, *, beta: float, margin: float) -> Tensor:
    """Unified contrastive loss without weights, Eq. 8 of the paper (lambda = `margin`).

    The released code computes 16 times this with beta = 16 and margin = 0.

    Args:
        positives: similarities of positive pairs, (..., K+), in [0, 1].
        negatives: similarities of negative pairs, (..., K-), in [0, 1].
        beta: inverse temperature, > 0.
        margin: lambda.

    Returns:
        Mean over the leading axes, a scalar > 0.
    """
    return _pooled(*unified_exponents(positives, negatives, beta=beta, margin=margin), beta)


def oucl_loss(positives: Tensor, negatives: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Optimisation-driven unified contrastive loss (OUCL), Eq. 10 of the paper.

    Args:
        positives: similarities of positive pairs, (..., K+), in [0, 1].
        negatives: similarities of negative pairs, (..., K-), in [0, 1].
        beta: inverse temperature, > 0.
        gamma: margin; it only shifts the softplus by -2 beta gamma^2.

    Returns:
        Mean over the leading axes, a scalar > 0.
    """
    return _pooled(*oucl_exponents(positives, negatives, beta=beta, gamma=gamma), beta)


def weighted_oucl_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    beta: float,
    gamma: float,
    decay: float = 1.0,
    detach: bool = False,
) -> Tensor:
    """OUCL with explicit weights Γ, Eq. 9 of the paper; equals Eq. 10 at `decay` = 1.

    `decay` is φ_dec of section 4.4: Γ / φ_dec (choice: the paper's formula was lost). With `detach`
    no gradient flows through Γ, as in circle loss; the paper does not say (both can be run).

    Args:
        positives: similarities of positive pairs, (..., K+), in [0, 1].
        negatives: similarities of negative pairs, (..., K-), in [0, 1].
        beta: inverse temperature, > 0.
        gamma: margin.
        decay: divisor of the weights, > 0.
        detach: treat the weights as constants.

    Returns:
        Mean over the leading axes, a scalar > 0.
    """
    exponents = weighted_oucl_exponents(
        positives, negatives, beta=beta, gamma=gamma, decay=decay, detach=detach
    )
    return _pooled(*exponents, beta)


def _pooled(positive_exponents: Tensor, negative_exponents: Tensor, beta: float) -> Tensor:
    log_mass = positive_exponents.logsumexp(-1) + negative_exponents.logsumexp(-1)
    return softplus(log_mass).mean() / beta


def margins(positives: Tensor, negatives: Tensor, size: MarginSize) -> tuple[Tensor, Tensor]:
    """Margins (sigma+, sigma-) of Eq. 4 from similarities of original pairs.

    Reduces over the last axis; flatten first for margins of the whole mini-batch.

    Args:
        positives: (..., K+).
        negatives: (..., K-).
        size: `large` (sigma+ <= sigma-), `medium` (equal) or `small` (sigma+ >= sigma-).

    Returns:
        Two tensors of the leading shape.
    """
    lowest_positive = positives.amin(-1)
    highest_negative = negatives.amax(-1)
    lower = torch.minimum(lowest_positive, highest_negative)
    upper = torch.maximum(lowest_positive, highest_negative)
    if size == "large":
        return lower, upper
    if size == "small":
        return upper, lower
    middle = (lower + upper) / 2
    return middle, middle


def margin_regularization(
    augmented_positives: Tensor,
    augmented_negatives: Tensor,
    sigma_pos: Tensor | float,
    sigma_neg: Tensor | float,
    *,
    positive_weight: float = 1.0,
) -> Tensor:
    """Margin-injected regularisation R_sigma, Eq. 5: it pushes augmented positives below sigma+
    and augmented negatives above sigma-.

    The two parts are means, as in the released code (the paper's normalisation was lost), which
    multiplies the first by `positive_weight` = 1e-4.

    Args:
        augmented_positives: similarities of positive pairs with an augmented feature, any shape.
        augmented_negatives: similarities of negative pairs with an augmented feature, any shape.
        sigma_pos, sigma_neg: margins, broadcast against the similarities.

    Returns:
        A scalar >= 0.
    """
    above = (augmented_positives - sigma_pos).clamp(min=0).mean()
    below = (sigma_neg - augmented_negatives).clamp(min=0).mean()
    return positive_weight * above + below
