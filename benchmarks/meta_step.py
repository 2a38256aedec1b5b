"""The gradient of the MAGs, exact step against naive double backward, time and memory:
`python -m benchmarks.meta_step`.

Both start from the views of a batch and end with the gradient: forward pass, gradient of the inner
loss, look-ahead, outer loss, gradient with respect to the MAGs. The naive one keeps the graph of
the inner gradient through the encoders.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks.iteration import BATCH, make
from benchmarks.timing import interleaved, peak_memory, print_ratios
from metaug.algorithm.mag import MetAug
from metaug.meta import frozen_running_statistics

RATE = 0.01
Gradient = Callable[[], tuple[Tensor, ...]]


def exact(width: float, image_size: int) -> Gradient:
    """The suite's step."""
    method, batch = make(MetAug, "alternating", width, image_size)
    views = batch.views(method.spec.views)

    def step() -> tuple[Tensor, ...]:
        gradient, _ = method._mag_gradient(views, batch)
        return gradient.total

    return step


def naive(width: float, image_size: int) -> Gradient:
    """Double backward through the encoders."""
    method, batch = make(MetAug, "alternating", width, image_size)
    views = batch.views(method.spec.views)

    def step() -> tuple[Tensor, ...]:
        parameters = method.encoder_parameters()
        calls = method.calls((), batch, "negatives")
        loss = method.objective(method(views), calls, regularised=False)
        gradient = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        ahead = {
            name: parameter - RATE * step
            for (name, parameter), step in zip(parameters.items(), gradient, strict=True)
        }
        with frozen_running_statistics(method.encoders):
            outer = method.objective(
                functional_call(method, ahead, (views,)), calls, regularised=True
            )
        return torch.autograd.grad(outer, list(method.mags.parameters()))

    return step


def main() -> None:
    """Compare at the sizes of `lite` and at 64 pixels."""
    for width, image_size in ((0.25, 32), (0.5, 64)):
        what = f"meta step, AlexNet x {width}, {image_size} px, batch {BATCH}"
        steps = {"naive": naive(width, image_size), "exact": exact(width, image_size)}
        print_ratios(what, interleaved(steps, rounds=7), "naive")
        memory = {
            name: peak_memory(step, width, image_size)
            for name, step in (("naive", naive), ("exact", exact))
        }
        print(
            f"  peak memory of one step: naive {memory['naive']:,.0f} MiB, "
            f"exact {memory['exact']:,.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
