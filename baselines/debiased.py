"""Debiased contrastive learning (DCL; Chuang et al. 2020) as a change of SimCLR and of CMC.

Negatives are drawn from all images, those of the anchor's own class among them. The estimator
takes their expected share out of the negative term.
"""

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from baselines.cmc import CMC
from baselines.simclr import SimCLR
from metaug.method import Batch, DataShape

TauPlus = Annotated[
    float | None,
    Field(
        ge=0,
        lt=1,
        description="prior probability that a negative is of the anchor's class; none: 1 / "
        "classes, at least 0.01 (choice; published: 0.1 on STL-10)",
    ),
]


def debiased_loss(z1: Tensor, z2: Tensor, temperature: float, tau_plus: float) -> Tensor:
    """Debiased contrastive loss (Chuang et al. 2020; chingyaoc/DCL: main.py) with one positive.

    For each of the 2N anchors, with pos = exp(s+ / t), the 2N - 2 negatives exp(s- / t) of other
    images, and n of them:

        g = max((sum of negatives - tau_plus n pos) / (1 - tau_plus), n exp(-1 / t)),
        loss = -log(pos / (pos + g)).

    Gradient flows through everything; where the maximum takes its second part, the negative term
    is a constant. `tau_plus` = 0 gives NT-Xent.

    Args:
        z1, z2: embeddings of the two views, (N, D), N >= 2; they need not be normalised.
        temperature: t > 0.
        tau_plus: prior probability that a negative is of the anchor's class, in [0, 1).

    Returns:
        Mean over the 2N anchors, a scalar of at least ln(1 + (2N - 2) exp(-2 / t)); ln(2N - 1)
        where all embeddings are equal.
    """
    positive, negatives = pair_logits(z1, z2, temperature)
    return debiased_logit_loss(
        positive, log_mean_exp(negatives), negatives.shape[1], temperature, tau_plus
    )


def debiased_cmc_loss(
    anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float, tau_plus: float
) -> Tensor:
    """The debiased loss of one direction of CMC: its K bank rows are the negatives, n = K (choice:
    the form for memory banks is not published).

    Args:
        anchor: embeddings of one view, (N, D), not yet normalised.
        positive: the other view's memory bank row of each image, (N, D).
        negatives: other rows of that bank, (K, D) shared by the batch or (N, K, D).
        temperature, tau_plus: as in `debiased_loss`.

    Returns:
        Mean over the batch, a scalar of at least ln(1 + K exp(-2 / t)); ln(1 + K) where all
        embeddings are equal.
    """
    anchor, positive, negatives = (F.normalize(t, dim=-1) for t in (anchor, positive, negatives))
    own, others = bank_logits(anchor, positive, negatives, temperature)
    return debiased_logit_loss(own, log_mean_exp(others), others.shape[1], temperature, tau_plus)


def debiased_logit_loss(
    positive: Tensor, log_mean_negative: Tensor, count: int, temperature: float, tau_plus: float
) -> Tensor:
    """-log(pos / (pos + g)) with g of `debiased_loss`, computed on a log scale.

    Args:
        positive: s+ / t, (N,).
        log_mean_negative: logarithm of the (weighted) mean of the negatives exp(s- / t), (N,).
        count: n, number of negatives of an anchor.
        temperature, tau_plus: as in `debiased_loss`.

    Returns:
        Mean over the anchors, a scalar of at least ln(1 + n exp(-2 / t)).
    """
    largest = torch.maximum(positive, log_mean_negative).detach()
    corrected = (log_mean_negative - largest).exp() - tau_plus * (positive - largest).exp()
    # the logarithm sees no value that is not positive: its gradient there would be NaN even masked
    above_zero = corrected > 0
    log_corrected = largest + corrected.where(above_zero, 1.0).log() - math.log1p(-tau_plus)
    log_mean = log_corrected.where(above_zero, -torch.inf).clamp(min=-1 / temperature)
    return F.softplus(log_mean + math.log(count) - positive).mean()


def log_mean_exp(logits: Tensor) -> Tensor:
    """Logarithm of the mean of exp(logits) over the last axis."""
    return logits.logsumexp(-1) - math.log(logits.shape[-1])


def pair_logits(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Scaled cosines of two views: with the own other view, (2N,), and with the 2N - 2 embeddings
    of other images, (2N, 2N - 2)."""
    count = len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / temperature
    image = torch.arange(count, device=z.device).repeat(2)
    others = logits[image[:, None] != image[None, :]].view(2 * count, 2 * count - 2)
    return torch.cat([logits.diagonal(count), logits.diagonal(-count)]), others


def bank_logits(
    anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Scaled products with the own row, (N,), and with the drawn rows of a memory bank, (N, K)."""
    own = (anchor * positive).sum(1)
    others = (
        anchor @ negatives.mT if negatives.ndim == 2 else (negatives @ anchor[..., None])[..., 0]
    )
    return own / temperature, others / temperature


def class_prior(tau_plus: float | None, data: DataShape) -> float:
    """`tau_plus`, or where it is None 1 / classes, at least 0.01 (choice)."""
    return max(0.01, 1 / data.classes) if tau_plus is None else tau_plus


class SimCLRDebiased(SimCLR):
    """SimCLR with the debiased loss.

    `own` is the recipe of chingyaoc/DCL (STL-10) and joshr17/HCL: batch 256, Adam 1e-3, weight
    decay 1e-6, head 512-128, t 0.5, tau+ 0.1; its ResNet-50 and 400 to 500 epochs are the grid's to
    ask for.
    """

    name = "simclr_debiased"
    version = 2
    presets: ClassVar = {
        "own": {
            "augmentation": "symmetric_weak",
            "batch_size": 256,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "weight_decay": 1e-6,
            "schedule": "constant",
            "temperature": 0.5,
            "projector_hidden": 512,
            "feature_dim": 128,
            "tau_plus": 0.1,
        }
    }

    class Hyper(SimCLR.Hyper):
        """Hyper-parameters of SimCLR + Debiased."""

        tau_plus: TauPlus = None

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = self.embeddings(batch)
        tau_plus = class_prior(self.hyper.tau_plus, self.data)
        return debiased_loss(z1, z2, self.hyper.temperature, tau_plus), {}


class CMCDebiased(CMC):
    """CMC with the debiased loss in every direction. `own` is CMC's recipe (choice: that of the
    debiased loss's authors for CMC is not known)."""

    name = "cmc_debiased"

    class Hyper(CMC.Hyper):
        """Hyper-parameters of CMC + Debiased."""

        tau_plus: TauPlus = None

    def direction_loss(self, anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        temperature, tau_plus = self.hyper.temperature, class_prior(self.hyper.tau_plus, self.data)
        own, others = bank_logits(anchor, positive, negatives, temperature)
        return debiased_logit_loss(
            own, log_mean_exp(others), others.shape[1], temperature, tau_plus
        )
