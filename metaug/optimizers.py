"""Optimisers of a spec, and what their learning rate is multiplied by over the training."""

import math
from collections.abc import Iterable, Sequence

from torch import Tensor, nn, optim

from metaug.spec import TrialSpec


def build_optimizer(parameters: Iterable[nn.Parameter], spec: TrialSpec) -> optim.Optimizer:
    """The optimiser that `spec` names, over `parameters`."""
    if spec.optimizer == "adam":
        return adam(parameters, spec.learning_rate, spec.weight_decay)
    return sgd(parameters, spec.learning_rate, spec.momentum, spec.weight_decay)


def sgd(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    *,
    scheduled: bool = True,
) -> optim.Optimizer:
    """SGD with momentum; with `scheduled` false its rate stays constant over the training."""
    optimizer = optim.SGD(
        parameters, learning_rate, momentum=momentum, weight_decay=weight_decay, foreach=True
    )
    return _marked(optimizer, learning_rate, scheduled)


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    scheduled: bool = True,
) -> optim.Optimizer:
    """Adam; with `scheduled` false its rate stays constant over the training."""
    optimizer = optim.Adam(
        parameters, learning_rate, betas=betas, weight_decay=weight_decay, foreach=True
    )
    return _marked(optimizer, learning_rate, scheduled)


def _marked(optimizer: optim.Optimizer, rate: float, scheduled: bool) -> optim.Optimizer:
    for group in optimizer.param_groups:
        group["base_lr"] = rate
        group["scheduled"] = scheduled
    return optimizer


def trained_by(optimizer: optim.Optimizer) -> list[nn.Parameter]:
    """The parameters of an optimiser, in its order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def apply_gradient(
    optimizer: optim.Optimizer,
    gradient: Sequence[Tensor],
    parameters: Iterable[nn.Parameter] | None = None,
) -> None:
    """One step of an optimiser.

    Args:
        optimizer: whose step it is.
        gradient: a tensor for each of the parameters, in their order.
        parameters: some of the optimiser's; None: all, in its order. The others stay as they are.
    """
    parameters = trained_by(optimizer) if parameters is None else parameters
    for parameter, value in zip(parameters, gradient, strict=True):
        parameter.grad = value
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def set_rate_factor(optimizer: optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every scheduled group to `factor` times its base rate."""
    for group in optimizer.param_groups:
        if group["scheduled"]:
            group["lr"] = group["base_lr"] * factor


def rate_factor(spec: TrialSpec, progress: float) -> float:
    """Multiplier of the learning rate, in [0, 1].

    Args:
        spec: gives `schedule`, `warmup_epochs` and `epochs`.
        progress: share of the training that is done, in [0, 1).
    """
    warmup = spec.warmup_epochs / max(spec.epochs, 1)
    if progress < warmup:
        return progress / warmup
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    if spec.schedule == "step":
        return 0.1 ** sum(progress >= epoch / 300 for epoch in (120, 160, 200))
    return 1.0
