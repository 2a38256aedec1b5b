"""Forward-mode products through networks, with a fast rule for batch normalisation."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def jvp(
    function: Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]],
    parameters: Mapping[str, Tensor],
    direction: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Product of the Jacobian of a function with a direction, detached.

    Args:
        function: parameters by name -> tensors, each of which depends on them.
        parameters: where the Jacobian is taken.
        direction: a tensor for each parameter, in their order.

    Returns:
        A tensor for each output of the function.
    """
    _load_forward_mode()
    with torch.no_grad(), forward_ad.dual_level(), _FastBatchNorm():
        duals = {
            name: forward_ad.make_dual(p.detach(), v)
            for (name, p), v in zip(parameters.items(), direction, strict=True)
        }
        return tuple(forward_ad.unpack_dual(z).tangent for z in function(duals))


class _FastBatchNorm(TorchFunctionMode):
    """Replaces batch norm over the statistics of the batch by `dual_batch_norm`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm and kwargs["training"] and args[1] is None:
            return dual_batch_norm(args[0], kwargs["weight"], kwargs["bias"], kwargs["eps"])
        return func(*args, **kwargs)


def dual_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Batch norm of dual tensors over the statistics of the batch.

    The Jacobian with respect to the input is symmetric: it takes the mean out of a tangent, and the
    part along the normalised input, just as the backward pass does with a gradient. So the one
    kernel of the backward pass serves the tangent; torch's own rule takes a dozen passes over it.

    Args:
        x: (N, C, ...), with a tangent or without.
        weight, bias: (C,), with tangents.
        eps: added to the variance.

    Returns:
        A dual tensor of the shape of `x`.
    """
    (x, dx), (weight, dweight), (bias, dbias) = map(forward_ad.unpack_dual, (x, weight, bias))
    out, mean, inverse_deviation = torch.native_batch_norm(
        x, weight, bias, None, None, True, 0.0, eps
    )
    channels = (-1,) + (1,) * (x.ndim - 2)
    scale = dweight * inverse_deviation
    shift = dbias - mean * scale
    tangent = torch.addcmul(shift.view(channels), x, scale.view(channels))
    if dx is not None:
        tangent += torch.ops.aten.native_batch_norm_backward(
            dx, x, weight, None, None, mean, inverse_deviation, True, eps, [True, False, False]
        )[0]
    return forward_ad.make_dual(out, tangent.to(out.dtype))


@cache
def _load_forward_mode() -> None:
    """Make the first dual tensor of the process, without the warning that torch gives itself: on
    first use it compiles its decompositions by `torch.jit.script`, which it has deprecated."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
