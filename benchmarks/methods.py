"""Cost of every method at one backbone and batch: `python -m benchmarks.methods`.

For each method the CPU seconds that an epoch takes for 1,000 images, augmentation included, and
what explains them: how often an image passes forward and backward through an encoder, and the
arithmetic of all convolutions and matrix products, as torch counts it. Steps take turns with steps
of SimCLR. The last column is time over SimCLR's divided by arithmetic over SimCLR's: about 1 where
the passes explain the time. It is above 1 where work is not arithmetic of that kind (narrow
encoders, whose batch norm and pooling cost as much for less arithmetic; images drawn and blended),
and below 1 where layers are wider than SimCLR's encoder.

MetAug takes 4.6 to 4.7 times as long as only-OUCL, and its arithmetic is 4.4 to 4.8 times as much,
so the arithmetic explains it. Shares of the CPU time of a MetAug epoch, one thread:

    AlexNet, negatives                            x 0.125, 1,024    x 0.25, 4,096
    forward passes of the encoders (three)              24 %             22 %
    backward passes of the encoders (three)             26 %             33 %
    forward-mode product through the encoders           20 %             21 %
    losses and MAGs, forward and backward               18 %             13 %
    double backward of losses and MAGs                   6 %              5 %
    crops, views, memory bank, optimisers                7 %              5 %

Only-OUCL has one forward and one backward pass and half as many pairs in its loss. The one thing
that MetAug computes twice with the same weights is the forward pass inside the forward-mode
product, some 7 % of the whole. To reuse the first one, its activations would have to be kept while
those of the look-ahead are in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.iteration import BATCH, IMAGES, grid
from benchmarks.timing import interleaved
from metaug.method import Batch, DataShape, Method, build_method, registered_methods
from metaug.models import AlexNet
from metaug.seeds import draws_of

WIDTH, IMAGE_SIZE = 0.25, 32
REFERENCE = "simclr"
ROUNDS = 3
CHOICES = {"projector_hidden": 512, "predictor_hidden": 512, "queue_size": 2048, "prototypes": 256}
"""Heads of the scale lite; at full width they would hide the encoders."""


@dataclass
class Passes:
    """How often an image passed an encoder in one epoch."""

    forward: float = 0.0
    backward: float = 0.0


def epoch_of(name: str) -> tuple[Method, Callable[[], object]]:
    """A method, and what an epoch of one batch does: a step in each of its passes over the data."""
    torch.manual_seed(0)
    hyper = registered_methods()[name].Hyper.model_fields
    changes: dict[str, Any] = {key: value for key, value in CHOICES.items() if key in hyper}
    spec = grid(WIDTH, IMAGE_SIZE).spec(name, "cifar10", **changes)
    method = build_method(spec, DataShape(IMAGES, 10), trial=0).train()
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, IMAGE_SIZE, IMAGE_SIZE, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    images = pixels.permute(0, 3, 1, 2)

    draws = draws_of(0)

    def epoch() -> None:
        for pass_index in range(method.passes):
            method.update(
                Batch(
                    crops=method.augment(images, draws),
                    index=torch.arange(BATCH),
                    labels=torch.arange(BATCH) % 10,
                    epoch=0,
                    pass_index=pass_index,
                    step=1,
                    progress=0.0,
                    draws=draws,
                )
            )

    return method, epoch


def count_passes(method: Method, epoch: Callable[[], object]) -> Passes:
    """Passes of an image through the first layer of any encoder, momentum encoders included."""
    passes = Passes()

    def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        share = len(output) / BATCH
        passes.forward += share
        if output.requires_grad:
            output.register_hook(lambda gradient: went_back(share))

    def went_back(share: float) -> None:
        passes.backward += share

    encoders = [module for module in method.modules() if isinstance(module, AlexNet)]
    handles = [encoder.stages[0].register_forward_hook(seen) for encoder in encoders]
    epoch()
    for handle in handles:
        handle.remove()
    return passes


class Operations(TorchDispatchMode):
    """Counts floating-point operations by torch's own formulas. (Its FlopCounterMode hooks into
    modules, which a gradient with respect to inputs, as DIM's penalty, does not bear.)"""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def count_operations(epoch: Callable[[], object]) -> float:
    """Floating-point operations of convolutions and matrix products, millions an image."""
    with Operations() as counter:
        epoch()
    return counter.total / BATCH / 1e6


def main() -> None:
    """Print the table."""
    print(f"AlexNet x {WIDTH}, {IMAGE_SIZE} px, batch {BATCH}; an epoch, for 1,000 images:")
    print(
        f"{'method':20}{'CPU s':>8}{'forward':>9}{'backward':>10}{'Mflop/image':>13}"
        f"{'time':>7}{'Mflop':>7}{'ratio':>7}   (time, Mflop: {REFERENCE} = 1)"
    )
    _, reference = epoch_of(REFERENCE)
    reference_operations = count_operations(reference)
    for name, kind in registered_methods().items():
        if not kind.trained:
            continue
        method, epoch = epoch_of(name)
        passes, operations = count_passes(method, epoch), count_operations(epoch)
        times = interleaved({"method": epoch, REFERENCE: reference}, ROUNDS)
        seconds = float(np.median(times["method"])) * 1000 / BATCH
        time = float(np.median(times["method"] / times[REFERENCE]))
        work = operations / reference_operations
        print(
            f"{name:20}{seconds:8.2f}{passes.forward:9.2f}{passes.backward:10.2f}{operations:13.1f}"
            f"{time:7.2f}{work:7.2f}{time / work:7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
