"""The second-order update of the MAGs: exact, without a graph of gradients through the encoder.

The MAG parameters ω are judged after a look-ahead step of the encoder parameters θ (Eq. 2, 3, 6):

    G(ω) = L_outer(z(θ'), ω),   θ' = θ - ℓ ∇_θ L_inner(z(θ), ω),

    dG/dω = ∂_ω L_outer(z(θ'), ω) - ℓ ∂_ω <∇_θ L_inner(z(θ), ω), v>,   v = ∇_θ' L_outer.

ω acts on the features z alone, so <∇_θ L_inner, v> = <∇_z L_inner(z, ω), J v> with J = ∂z/∂θ: one
forward-mode product through the encoder and a double backward through the small loss head.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeGuard

import torch
from torch import Tensor, nn

from metaug.forward_mode import jvp

Order = Literal["exact", "first_order", "none"]
Features = tuple[Tensor, ...]
Encode = Callable[[Mapping[str, Tensor]], Features]
"""Features of the batch under the given encoder parameters, on which every feature depends; must
not change any buffer."""
Average = Callable[[Iterable[Tensor]], tuple[Tensor, ...]]
"""Makes one of the gradients that several processes have taken of their parts of a batch."""


@dataclass(frozen=True)
class InnerGradient:
    """Gradient of the inner loss at θ: what the look-ahead and the encoder's own step share.

    Attributes:
        parameters: gradient with respect to θ, one tensor for each parameter, detached.
        features: gradient with respect to the features z; its graph leads to ω.
    """

    parameters: tuple[Tensor, ...]
    features: Features


@dataclass(frozen=True)
class MetaGradient:
    """Gradient of the meta objective with respect to ω, and its parts.

    Attributes:
        total: one tensor for each MAG parameter.
        direct: norm of ∂_ω L_outer, the part that does not pass through the look-ahead weights.
        second_order: norm of the part through the look-ahead weights (0 unless `exact`).
        loss: L_outer.
    """

    total: tuple[Tensor, ...]
    direct: Tensor
    second_order: Tensor
    loss: Tensor

    @property
    def second_order_share(self) -> Tensor:
        """Second-order norm over the sum of both norms, in [0, 1]; 0 where both are 0."""
        return self.second_order / (self.second_order + self.direct).clamp(min=1e-38)


def inner_gradient(
    features: Features,
    loss: Callable[[Features], Tensor],
    parameters: Sequence[Tensor],
    *,
    create_graph: bool,
    average: Average = tuple,
) -> tuple[Tensor, InnerGradient]:
    """Loss on `features` and its gradient, through the loss head first and the encoder second.

    Args:
        features: z(θ), with the graph that leads to `parameters`.
        loss: the head, features -> scalar.
        parameters: θ.
        create_graph: keep the graph of the feature gradient to ω (the exact meta step needs it).
        average: of gradients with respect to θ, over processes; by default there is one.

    Returns:
        The loss, detached, and its gradient.
    """
    leaves = tuple(z.detach().requires_grad_() for z in features)
    value = loss(leaves)
    feature_gradient = torch.autograd.grad(value, leaves, create_graph=create_graph)
    parameter_gradient = torch.autograd.grad(
        features, parameters, [g.detach() for g in feature_gradient]
    )
    return value.detach(), InnerGradient(average(parameter_gradient), feature_gradient)


def meta_gradient(
    encode: Encode,
    parameters: Mapping[str, Tensor],
    inner: InnerGradient,
    outer_loss: Callable[[Features], Tensor],
    omega: Sequence[Tensor],
    *,
    inner_learning_rate: float,
    order: Order = "exact",
    average: Average = tuple,
) -> MetaGradient:
    """Gradient of the meta objective with respect to the MAG parameters ω.

    Args:
        encode: features of the batch as a function of the encoder parameters.
        parameters: θ by name.
        inner: gradient of the inner loss at θ on the same batch, from `inner_gradient`.
        outer_loss: the head, features -> scalar; depends on ω.
        omega: ω.
        inner_learning_rate: ℓ.
        order: `exact`; `first_order`, without the term through θ' (θ' taken as a constant); `none`,
            without look-ahead: the gradient at θ itself.
        average: of gradients with respect to θ, over processes; by default there is one.

    Returns:
        The gradient and its parts.
    """
    rate = 0.0 if order == "none" else inner_learning_rate
    exact = order == "exact"
    ahead = {
        name: (p.detach() - rate * g).requires_grad_(exact)
        for (name, p), g in zip(parameters.items(), inner.parameters, strict=True)
    }
    with torch.set_grad_enabled(exact):
        features = encode(ahead)
    leaves = tuple(z.detach().requires_grad_(exact) for z in features)
    loss = outer_loss(leaves)
    if not exact:
        direct = _gradient(loss, omega)
        zero = torch.zeros_like(loss)
        return MetaGradient(direct, _norm(direct), zero, loss.detach())

    gradient = torch.autograd.grad(loss, [*leaves, *omega], allow_unused=True)
    feature_gradient = gradient[: len(leaves)]
    direct = _filled(gradient[len(leaves) :], omega)
    direction = average(torch.autograd.grad(features, list(ahead.values()), feature_gradient))
    tangents = jvp(encode, parameters, direction)
    product = sum((g * t).sum() for g, t in zip(inner.features, tangents, strict=True))
    assert isinstance(product, Tensor)
    second = [-rate * g for g in _gradient(product, omega)]
    total = tuple(d + s for d, s in zip(direct, second, strict=True))
    return MetaGradient(total, _norm(direct), _norm(second), loss.detach())


def _gradient(value: Tensor, omega: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return _filled(torch.autograd.grad(value, list(omega), allow_unused=True), omega)


def _filled(gradient: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient with zeros in place of None (a parameter the value does not depend on)."""
    return tuple(
        torch.zeros_like(p) if g is None else g.detach()
        for g, p in zip(gradient, like, strict=True)
    )


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.get_total_norm(tensors)


def is_batch_norm(layer: nn.Module) -> TypeGuard[nn.modules.batchnorm._BatchNorm]:
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)


@contextmanager
def frozen_running_statistics(*modules: nn.Module) -> Iterator[None]:
    """Batch normalisation with batch statistics that leaves the running ones alone."""
    layers = [
        layer
        for module in modules
        for layer in module.modules()
        if is_batch_norm(layer) and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
