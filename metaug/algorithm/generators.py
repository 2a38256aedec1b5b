"""How MAGs are trained, how much they weigh and how far they have moved; for every method that has
them."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn, optim

from metaug.meta import frozen_running_statistics
from metaug.optimizers import adam, sgd
from metaug.spec import TrialSpec


def mag_optimizer(
    mags: nn.Module,
    name: Literal["adam", "sgd"],
    learning_rate: float | None,
    weight_decay: float,
    spec: TrialSpec,
) -> optim.Optimizer:
    """The optimiser of MAGs.

    Args:
        mags: what it trains.
        name: `adam`, as in the paper (appendix B.2), or `sgd` with momentum 0.9, as in the release.
        learning_rate: constant over the training; None: the encoders' rate and schedule.
        weight_decay: of all parameters.
        spec: gives the encoders' rate.
    """
    build = adam if name == "adam" else sgd
    return build(
        mags.parameters(),
        spec.learning_rate if learning_rate is None else learning_rate,
        weight_decay=weight_decay,
        scheduled=learning_rate is None,
    )


@torch.no_grad()
def mag_movement(
    mags: nn.ModuleDict, initial: nn.ModuleDict, features: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """How far MAGs have moved since the start of the training.

    Args:
        mags, initial: the present MAGs and a copy of the initial ones, by view.
        features: embeddings (N, D) of the same images by view.

    Returns:
        `mag_output_cosine`: mean cosine of the present and the initial outputs on `features`, in
        [-1, 1], 1 for MAGs that have not moved; `mag_weight_change`: norm of the change of all
        weights over the norm of the initial weights; `mag_weight_norm`: norm of the present ones.
    """
    with frozen_running_statistics(mags, initial):
        cosines = [(mags[v](z) * initial[v](z)).sum(1).mean() for v, z in features.items()]
    now, then = list(mags.parameters()), list(initial.parameters())
    norm = torch.nn.utils.get_total_norm
    return {
        "mag_output_cosine": torch.stack(cosines).mean(),
        "mag_weight_change": norm([a - b for a, b in zip(now, then, strict=True)]) / norm(then),
        "mag_weight_norm": norm(now),
    }


def gradient_share(terms: Mapping[str, Tensor], features: tuple[Tensor, ...]) -> Tensor:
    """Weight of augmented features in the training of the encoders.

    Args:
        terms: parts of the objective: `original` and, unless its weight is 0, `augmented`.
        features: what they depend on.

    Returns:
        Norm of the gradient of `augmented` over the sum of the norms of both, in [0, 1].
    """
    original, augmented = (
        torch.nn.utils.get_total_norm(
            torch.autograd.grad(terms[name], features, retain_graph=True) if name in terms else []
        )
        for name in ("original", "augmented")
    )
    return augmented / (original + augmented).clamp(min=1e-38)
