"""Forward-mode products through networks, with fast rules for convolution and batch norm."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

Function = Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


def jvp(
    function: Function,
    parameters: Mapping[str, Tensor],
    direction: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Product of the Jacobian of a function with a direction, detached.

    It is taken in one forward pass. A function with an operation that has no forward mode in torch,
    such as weight normalisation, is differentiated backward twice.

    Args:
        function: parameters by name -> tensors, each of which depends on them.
        parameters: where the Jacobian is taken.
        direction: a tensor for each parameter, in their order.

    Returns:
        A tensor for each output of the function.
    """
    try:
        return _forward(function, parameters, direction)
    except NotImplementedError:
        return _backward_twice(function, parameters, direction)


def _forward(
    function: Function, parameters: Mapping[str, Tensor], direction: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    _load_forward_mode()
    # attention's fused kernels have no forward mode
    plain_attention = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), forward_ad.dual_level(), _FastRules(), plain_attention:
        duals = {
            name: forward_ad.make_dual(p.detach(), v)
            for (name, p), v in zip(parameters.items(), direction, strict=True)
        }
        return tuple(forward_ad.unpack_dual(z).tangent for z in function(duals))


def _backward_twice(
    function: Function, parameters: Mapping[str, Tensor], direction: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """J v as the gradient of <Jᵀ u, v> with respect to u."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        outputs = function(leaves)
        weights = tuple(torch.ones_like(z, requires_grad=True) for z in outputs)
        gradient = torch.autograd.grad(outputs, list(leaves.values()), weights, create_graph=True)
        product = torch.stack([(g * v).sum() for g, v in zip(gradient, direction, strict=True)])
        return torch.autograd.grad(product.sum(), weights)


class _FastRules(TorchFunctionMode):
    """Replaces batch norm over the statistics of the batch by `dual_batch_norm`, and a convolution
    of constants, such as an encoder's first one, by `dual_convolution`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm and kwargs["training"] and args[1] is None:
            return dual_batch_norm(args[0], kwargs["weight"], kwargs["bias"], kwargs["eps"])
        if func in CONVOLUTIONS and [_has_tangent(value) for value in args[:2]] == [False, True]:
            return dual_convolution(func, *args, **kwargs)
        return func(*args, **kwargs)


def dual_convolution(
    convolution: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *settings: Any,
    **named_settings: Any,
) -> Tensor:
    """Convolution of an input without tangent; torch's own rule convolves a tangent of zeros.

    Args:
        convolution: one of `CONVOLUTIONS`.
        x: the input, without tangent.
        weight: with a tangent.
        bias: (C,), with a tangent or without; or None.
        settings, named_settings: stride, padding, dilation and groups.

    Returns:
        A dual tensor.
    """
    (weight, dweight), (bias, dbias) = map(_unpacked, (weight, bias))
    out = convolution(x, weight, bias, *settings, **named_settings)
    return forward_ad.make_dual(out, convolution(x, dweight, dbias, *settings, **named_settings))


def dual_batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Batch norm of dual tensors over the statistics of the batch.

    The Jacobian with respect to the input is symmetric: it takes the mean out of a tangent, and the
    part along the normalised input, just as the backward pass does with a gradient. So the one
    kernel of the backward pass serves the tangent; torch's own rule takes a dozen passes over it.

    Args:
        x: (N, C, ...), with a tangent or without.
        weight, bias: (C,), with tangents or without; or None.
        eps: added to the variance.

    Returns:
        A dual tensor of the shape of `x`.
    """
    (x, dx), (weight, dweight), (bias, dbias) = map(_unpacked, (x, weight, bias))
    out, mean, inverse_deviation = torch.native_batch_norm(
        x, weight, bias, None, None, True, 0.0, eps
    )
    channels = (-1,) + (1,) * (x.ndim - 2)
    scale = (torch.zeros_like(mean) if dweight is None else dweight) * inverse_deviation
    shift = (torch.zeros_like(mean) if dbias is None else dbias) - mean * scale
    tangent = torch.addcmul(shift.view(channels), x, scale.view(channels))
    if dx is not None:
        tangent += torch.ops.aten.native_batch_norm_backward(
            dx, x, weight, None, None, mean, inverse_deviation, True, eps, [True, False, False]
        )[0]
    return forward_ad.make_dual(out, tangent.to(out.dtype))


def _unpacked(value: Tensor | None) -> tuple[Any, Any]:
    """Primal and tangent, each of which may be missing."""
    return (None, None) if value is None else tuple(forward_ad.unpack_dual(value))


def _has_tangent(value: Tensor) -> bool:
    return forward_ad.unpack_dual(value).tangent is not None


@cache
def _load_forward_mode() -> None:
    """Make the first dual tensor of the process, without the warning that torch gives itself: on
    first use it compiles its decompositions by `torch.jit.script`, which it has deprecated."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        # a FutureWarning, in PyTorch 2.13 a DeprecationWarning
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
