"""One training by several processes, each with an equal part of every batch.

A training by several processes equals that of one process on the whole batch, up to rounding:

- Each process encodes its part. Then `gather` gives all of them the embeddings of the whole batch,
  and each computes the whole loss. So memory banks and queues get the same rows everywhere, and
  what follows the encoders (MAGs, margins) is the same everywhere, too.
- As in torch's DistributedDataParallel, gradients are averaged over the processes. That class
  itself does it by hooks on `backward`, of a network that is called through it. MetAug's step has
  neither: the look-ahead needs the gradient before any optimiser's step, by `torch.autograd.grad`,
  and calls the network with other weights. So `average` is called where a gradient has been taken.
- Batch norm of what sees a part only (`Method.data_parallel`) takes its statistics over the whole
  batch. Statistics of each part would make the number of processes a hyper-parameter. torch's
  SyncBatchNorm has no forward mode, which MetAug's second order needs, and does not run on the CPU.

Everything else depends on the spec and the trial alone: initial weights, the order of the images,
crops, the rows of a bank that are drawn. No method knows of processes but by `Method.part`,
`Method.gather` and `Method.average`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from metaug.data.augment import operations_of
from metaug.errors import UserError
from metaug.method import Method, find_method, registered_methods
from metaug.spec import TrialSpec


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this process is the one that writes checkpoints, curves and records."""
    return not dist.is_initialized() or dist.get_rank() == 0


def check_processes(spec: TrialSpec, count: int) -> None:
    """Refuse a spec that so many processes cannot train together.

    Raises:
        UserError: the method does not support it, or the batch has no such parts.
    """
    method = find_method(spec.method)
    if count == 1 or not method.trained or spec.epochs == 0:
        return
    if not method.data_parallel:
        able = [name for name, kind in registered_methods().items() if kind.data_parallel]
        raise UserError(
            f"{spec.method} cannot be trained by {count} processes: set processes_per_job to 1, or "
            f"choose methods of {', '.join(able)}"
        )
    if spec.batch_size % count:
        raise UserError(
            f"{spec.method}: a batch of {spec.batch_size} does not split into {count} equal parts; "
            "change processes_per_job"
        )
    if any("mixup" in operations_of(recipe) for recipe in spec.augmentation):
        raise UserError(
            f"{spec.method}: mixup mixes images of the whole batch, so {count} processes cannot "
            "share it; set processes_per_job to 1"
        )


@contextmanager
def together(method: Method) -> Iterator[None]:
    """Within the block the steps of `method` are taken by all processes together.

    Its state becomes that of the leading process first: what was computed before, such as a memory
    bank's first rows, may differ by rounding.
    """
    if processes() == 1:
        yield
        return
    for tensor in method.state_dict().values():
        whole = tensor.contiguous()
        dist.broadcast(whole, 0)
        tensor.copy_(whole)
    layers = [
        layer
        for name in method.data_parallel
        for layer in method.get_submodule(name).modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    own: dict[nn.Module, dict[str, Any]] = {
        layer: {"forward": partial(batch_norm, layer)} for layer in layers
    }
    part = (dist.get_rank(), processes())
    own[method] = {"part": part, "gather": gather, "average": average}
    for module, attributes in own.items():
        vars(module).update(attributes)
    try:
        yield
    finally:
        for module, attributes in own.items():
            for name in attributes:
                del vars(module)[name]


def gather(part: Tensor) -> Tensor:
    """Rows of the whole batch (P N, ...) from those of each process's part (N, ...), in order.

    Its gradient is the sum of what all processes ask for, so that the average of the processes'
    gradients is that of the average of their losses.
    """
    found: Tensor = _Gather.apply(part)
    return found


class _Gather(torch.autograd.Function):
    """Forward, backward once, and forward-mode derivative of `gather`."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _gathered(part)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return _gathered(tangent)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(processes())[dist.get_rank()]


def _gathered(part: Tensor) -> Tensor:
    part = part.contiguous()
    parts = [torch.empty_like(part) for _ in range(processes())]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def average(gradients: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The mean over the processes of each tensor, by one exchange."""
    tensors = list(gradients)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.div_(processes()).split([tensor.numel() for tensor in tensors])
    return tuple(
        torch.empty_like(tensor).copy_(part.view(tensor.shape))
        for tensor, part in zip(tensors, parts, strict=True)
    )


def agreed(answer: bool, device: torch.device) -> bool:
    """The leading process's answer, for all; the others' are not asked."""
    if processes() == 1:
        return answer
    said = torch.tensor(answer, dtype=torch.uint8, device=device)
    dist.broadcast(said, 0)
    return bool(said)


def batch_norm(layer: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
    """The forward pass of `layer` in train mode, over the statistics of all processes' parts.

    It is written in operations that torch differentiates backward and forward, and keeps only its
    input for the backward pass.

    Args:
        layer: batch norm with a momentum, in train mode.
        x: (N, C, ...), as many on every process.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, axes, correction=0)
    variances, means = gather(torch.stack([variance, mean])[None]).unbind(1)
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    if layer.track_running_stats and layer.running_mean is not None:
        _move_running_statistics(layer, mean, variance, processes() * x.numel() // x.shape[1])
    scale = (variance + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight
    shift = -mean * scale
    if layer.bias is not None:
        shift = shift + layer.bias
    channels = (-1,) + (1,) * (x.ndim - 2)
    return torch.addcmul(shift.view(channels), values, scale.view(channels)).to(x.dtype)


@torch.no_grad()
def _move_running_statistics(
    layer: nn.modules.batchnorm._BatchNorm, mean: Tensor, variance: Tensor, count: int
) -> None:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    assert layer.momentum is not None
    layer.num_batches_tracked += 1
    layer.running_mean.lerp_(mean, layer.momentum)
    layer.running_var.lerp_(variance * (count / (count - 1)), layer.momentum)
