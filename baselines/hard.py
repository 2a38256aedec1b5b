"""Hard negatives (HCL; Robinson et al. 2021) as a change of SimCLR and of CMC.

The debiased estimator with importance weights that favour negatives close to the anchor.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from baselines.debiased import (
    CMCDebiased,
    SimCLRDebiased,
    bank_logits,
    class_prior,
    debiased_logit_loss,
    log_mean_exp,
    pair_logits,
)
from metaug.method import Batch

HardBeta = Annotated[
    float, Field(ge=0, description="concentration of the weights of negatives (joshr17/HCL)")
]


def hard_negative_loss(
    z1: Tensor, z2: Tensor, temperature: float, tau_plus: float, beta: float
) -> Tensor:
    """Contrastive loss with hard negatives (Robinson et al. 2021; joshr17/HCL: image/main.py).

    As `debiased_loss` with the sum of negatives replaced by sum_j w_j exp(s_j / t) / mean_j w_j,
    w_j = exp(beta s_j / t): the mean of the weights, so that the scale n of the sum stays. Gradient
    flows through the weights. `beta` = 0 gives the debiased loss.

    Args:
        z1, z2: embeddings of the two views, (N, D), N >= 2; they need not be normalised.
        temperature: t > 0.
        tau_plus: prior probability that a negative is of the anchor's class, in [0, 1).
        beta: concentration >= 0; it multiplies s / t.

    Returns:
        Mean over the 2N anchors, a scalar of at least ln(1 + (2N - 2) exp(-2 / t)); ln(2N - 1)
        where all embeddings are equal.
    """
    positive, negatives = pair_logits(z1, z2, temperature)
    return debiased_logit_loss(
        positive, log_hard_mean(negatives, beta), negatives.shape[1], temperature, tau_plus
    )


def hard_negative_cmc_loss(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor,
    temperature: float,
    tau_plus: float,
    beta: float,
) -> Tensor:
    """The loss of one direction of CMC with its K bank rows as negatives (choice: the form for
    memory banks is not published).

    Args:
        anchor: embeddings of one view, (N, D), not yet normalised.
        positive: the other view's memory bank row of each image, (N, D).
        negatives: other rows of that bank, (K, D) shared by the batch or (N, K, D).
        temperature, tau_plus, beta: as in `hard_negative_loss`.

    Returns:
        Mean over the batch, a scalar of at least ln(1 + K exp(-2 / t)); ln(1 + K) where all
        embeddings are equal.
    """
    anchor, positive, negatives = (F.normalize(t, dim=-1) for t in (anchor, positive, negatives))
    own, others = bank_logits(anchor, positive, negatives, temperature)
    return debiased_logit_loss(
        own, log_hard_mean(others, beta), others.shape[1], temperature, tau_plus
    )


def log_hard_mean(logits: Tensor, beta: float) -> Tensor:
    """Logarithm of the mean of exp(logits) over the last axis with weights exp(beta logits)."""
    return log_mean_exp((1 + beta) * logits) - log_mean_exp(beta * logits)


class SimCLRHard(SimCLRDebiased):
    """SimCLR with hard negatives; `own` is joshr17/HCL's recipe, that of SimCLR + Debiased."""

    name = "simclr_hard"
    version = 2

    class Hyper(SimCLRDebiased.Hyper):
        """Hyper-parameters of SimCLR + Hard."""

        hard_beta: HardBeta = 1.0

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = self.embeddings(batch)
        h = self.hyper
        tau_plus = class_prior(h.tau_plus, self.data)
        return hard_negative_loss(z1, z2, h.temperature, tau_plus, h.hard_beta), {}


class CMCHard(CMCDebiased):
    """CMC with hard negatives in every direction. `own` is CMC's recipe (choice: none is published
    for CMC with this loss)."""

    name = "cmc_hard"

    class Hyper(CMCDebiased.Hyper):
        """Hyper-parameters of CMC + Hard."""

        hard_beta: HardBeta = 1.0

    def direction_loss(self, anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        h = self.hyper
        tau_plus = class_prior(h.tau_plus, self.data)
        own, others = bank_logits(anchor, positive, negatives, h.temperature)
        return debiased_logit_loss(
            own, log_hard_mean(others, h.hard_beta), others.shape[1], h.temperature, tau_plus
        )
