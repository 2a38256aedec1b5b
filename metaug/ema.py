"""Momentum networks: copies whose parameters follow another network by exponential averaging."""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """Exclude the parameters of `network` from gradients and optimisers; returns it."""
    return network.requires_grad_(False)


def momentum_copy(network: Network) -> Network:
    """A copy of `network` without gradients, the start of its momentum network.

    It keeps the train mode that its method has: in training its batch norm uses the statistics of
    its own batches, as in MoCo's and BYOL's reference code.
    """
    return frozen(copy.deepcopy(network))


@torch.no_grad()
def ema_update(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move the parameters of `target` in place: target <- momentum target + (1 - momentum) online.

    Buffers are left alone: the running statistics of batch norm are the target's own.

    Args:
        target, online: networks with the same parameters in the same order.
        momentum: in [0, 1]; 0 copies, 1 changes nothing.

    Raises:
        ValueError: the two networks differ in the number of their parameters.
    """
    targets: list[Tensor] = list(target.parameters())
    sources: list[Tensor] = list(online.parameters())
    if len(targets) != len(sources):
        raise ValueError(
            f"the networks differ: {len(targets)} and {len(sources)} parameter tensors"
        )
    torch._foreach_lerp_(targets, sources, 1 - momentum)


def cosine_momentum(start: float, progress: float) -> float:
    """Momentum that rises from `start` to 1 along half a cosine (Grill et al. 2020, section 3.2).

    tau = 1 - (1 - start) (cos(pi k / K) + 1) / 2 with k the step and K the number of all steps.

    Args:
        start: momentum of the first step, in [0, 1].
        progress: k / K in [0, 1], counted in steps.
    """
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2
