"""Losses and margins of MetAug on plain similarity tensors.

Similarities d lie in [0, 1] (`similarity` makes them from cosines). Every unified loss has the form

    softplus(log sum exp a(d-) + log sum exp b(d+)) / beta,

since the double sum over pairs of Eq. 8, 9 and 10 factorises: the cost is linear in K+ + K- and
nothing overflows, whatever beta is. A `Form` gives the exponents `a` and `b`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MarginSize = Literal["large", "medium", "small"]


def similarity(cosine: Tensor) -> Tensor:
    """Map cosines in [-1, 1] to similarities (1 + cos) / 2 in [0, 1], elementwise.

    Examples:
        >>> import torch, metaug
        >>> metaug.similarity(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0000, 0.5000, 1.0000])

    This is the released code's map (choice: the paper only says that d lies in [0, 1] "by
    normalising", section 3.1).
    """
    return (1 + cosine) / 2


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp x), elementwise and exact everywhere; torch's own is x above 20, off by 2e-9."""
    return -F.logsigmoid(-x)


class Form(NamedTuple):
    """A form of the unified loss: elementwise exponents of similarities.

    Attributes:
        positive: exponent of a positive pair.
        negative: exponent of a negative pair.
    """

    positive: Callable[[Tensor], Tensor]
    negative: Callable[[Tensor], Tensor]


def unified_form(*, beta: float, margin: float) -> Form:
    """Eq. 8: -beta d+ and beta (d- + lambda)."""
    return Form(lambda d: -beta * d, lambda d: beta * (d + margin))


def oucl_form(*, beta: float, gamma: float) -> Form:
    """Eq. 10: beta ((d+ - 1)^2 - gamma^2) and beta ((d-)^2 - gamma^2)."""
    constant = beta * gamma**2
    return Form(
        lambda d: beta * (d - 1).square() - constant, lambda d: beta * d.square() - constant
    )


def weighted_oucl_form(
    *, beta: float, gamma: float, decay: float = 1.0, detach: bool = False
) -> Form:
    """Eq. 9 with O+ = 1 + gamma, O- = -gamma, gamma+ = 1 - gamma, gamma- = gamma, and the weights
    Γ divided by `decay`."""

    def positive(d: Tensor) -> Tensor:
        weight = (1 + gamma - d).clamp(min=0) / decay
        return -beta * (weight.detach() if detach else weight) * (d - (1 - gamma))

    def negative(d: Tensor) -> Tensor:
        weight = (d + gamma).clamp(min=0) / decay
        return beta * (weight.detach() if detach else weight) * (d - gamma)

    return Form(positive, negative)


def on_cosines(form: Form) -> Form:
    """The same form, its exponents as functions of cosines in [-1, 1]."""
    return Form(
        lambda cosine: form.positive(similarity(cosine)),
        lambda cosine: form.negative(similarity(cosine)),
    )


def pooled_loss(positive_mass: Tensor, negative_mass: Tensor, *, divisor: float) -> Tensor:
    """The unified loss of pairs that are pooled, from what each side sums up to.

    Args:
        positive_mass: log of the sum of exponentials of the positives' exponents, any shape.
        negative_mass: the same of the negatives, of the same shape.
        divisor: beta, as in the paper.

    Returns:
        Mean over all axes, a scalar > 0.
    """
    return softplus(positive_mass + negative_mass).mean() / divisor


def contrastive_loss(positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Conventional contrastive loss of one direction, Eq. 1 with d = exp(cosine / temperature).

    Args:
        positives: cosines of the positive pairs, (N,).
        negatives: cosines of each image's negative pairs, (N, K).
        temperature: > 0.

    Returns:
        Mean over the batch, a scalar > 0; ln(K + 1) where all cosines are equal.
    """
    logits = torch.cat([positives[:, None], negatives], 1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


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
    return _loss_of(unified_form(beta=beta, margin=margin), positives, negatives, beta)


def oucl_loss(positives: Tensor, negatives: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Optimisation-driven unified contrastive loss (OUCL), Eq. 10 of the paper.

    On similarities; `metaug.oucl` takes embeddings.

    Examples:
        >>> import torch, metaug
        >>> positives, negatives = torch.full((8, 2), 0.9), torch.full((8, 100), 0.4)
        >>> loss = metaug.oucl_loss(positives, negatives, beta=16.0, gamma=0.4)
        >>> f"{loss:.3f}"
        '0.184'

    Args:
        positives: similarities of positive pairs, (..., K+), in [0, 1].
        negatives: similarities of negative pairs, (..., K-), in [0, 1].
        beta: inverse temperature, > 0.
        gamma: margin; it only shifts the softplus by -2 beta gamma^2.

    Returns:
        Mean over the leading axes, a scalar > 0.
    """
    return _loss_of(oucl_form(beta=beta, gamma=gamma), positives, negatives, beta)


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

    `decay` is φ_dec of section 4.4: Γ / φ_dec (choice: the formula is not legible in our copy of
    the paper). With `detach` no gradient flows through Γ, as in circle loss. The paper does not
    say; the suite trains without, because only so are Eq. 9 and 10 equal.

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
    form = weighted_oucl_form(beta=beta, gamma=gamma, decay=decay, detach=detach)
    return _loss_of(form, positives, negatives, beta)


def _loss_of(form: Form, positives: Tensor, negatives: Tensor, beta: float) -> Tensor:
    masses = form.positive(positives).logsumexp(-1), form.negative(negatives).logsumexp(-1)
    return pooled_loss(*masses, divisor=beta)


def margins(positives: Tensor, negatives: Tensor, size: MarginSize) -> tuple[Tensor, Tensor]:
    """Margins (sigma+, sigma-) of Eq. 4 from similarities of original pairs.

    Reduces over the last axis; flatten first for margins of the whole mini-batch.

    Examples:
        >>> import torch, metaug
        >>> positives, negatives = torch.tensor([0.9, 0.6]), torch.tensor([0.1, 0.4])
        >>> metaug.margins(positives, negatives, "large")
        (tensor(0.4000), tensor(0.6000))

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

    The two parts are means, as in the released code (choice: the
    paper's normalisation is not legible in our copy), which
    multiplies the first by `positive_weight` = 1e-4.

    Examples:
        >>> import torch, metaug
        >>> positives, negatives = torch.tensor([0.9, 0.3]), torch.tensor([0.1, 0.8])
        >>> metaug.margin_regularization(positives, negatives, 0.4, 0.6)
        tensor(0.5000)

    Args:
        augmented_positives: similarities of positive pairs with an augmented feature, any shape.
        augmented_negatives: similarities of negative pairs with an augmented feature, any shape.
        sigma_pos: margin of the positives, broadcast against them.
        sigma_neg: margin of the negatives, broadcast against them.

    Returns:
        A scalar >= 0.
    """
    above = (augmented_positives - sigma_pos).clamp(min=0).mean()
    below = (sigma_neg - augmented_negatives).clamp(min=0).mean()
    return positive_weight * above + below
