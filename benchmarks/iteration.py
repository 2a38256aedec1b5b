"""A whole MetAug iteration against a naive one: `python -m benchmarks.iteration`.

An iteration is a step of the encoders and a step of the MAGs on one batch. The naive one
differentiates twice through the whole encoders, as the released code does; the others take the
exact step of `metaug.meta`, after the encoders' step (alternating) or with it (simultaneous).
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from benchmarks.timing import interleaved, print_ratios
from metaug.algorithm.mag import MetAug
from metaug.config import Config, Scale
from metaug.grid import Grid
from metaug.meta import frozen_running_statistics
from metaug.method import Batch, DataShape
from metaug.optimizers import apply_gradient
from metaug.seeds import draws_of

BATCH = 64
IMAGES = 4096


class NaiveMetAug(MetAug):
    """MetAug with a double backward pass through the encoders."""

    def _mag_step(self, views: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor | float]:
        parameters = self.encoder_parameters()
        calls = self.calls((), batch, "negatives")
        inner = self.objective(self(views), calls, regularised=False)
        gradient = torch.autograd.grad(inner, list(parameters.values()), create_graph=True)
        rate = self.optimizers["encoder"].param_groups[0]["lr"]
        ahead = {
            name: parameter - rate * step
            for (name, parameter), step in zip(parameters.items(), gradient, strict=True)
        }
        with frozen_running_statistics(self.encoders):
            loss = self.objective(functional_call(self, ahead, (views,)), calls, regularised=True)
        gradient = torch.autograd.grad(loss, list(self.mags.parameters()))
        apply_gradient(self.optimizers["mag"], gradient)
        return {"meta_loss": loss.detach()}


def grid(width: float, image_size: int) -> Grid:
    """A grid of one scale with this network."""
    scale = {
        "name": "benchmark",
        "trials": 1,
        "datasets": {"cifar10": {"image_size": image_size}},
        "backbones": {"alexnet": {"width": width}},
        "spec": {"augmentation": "cmc", "batch_size": BATCH, "epochs": 1, "learning_rate": 0.01},
        "hyper": {"negatives": 1024},
    }
    return Grid(Scale.model_validate(scale), Config())


def make(kind: type[MetAug], order: str, width: float, image_size: int) -> tuple[MetAug, Batch]:
    """A method in training and a batch of random images."""
    torch.manual_seed(0)
    spec = grid(width, image_size).spec("metaug", "cifar10", update_order=order)
    method = kind(spec, DataShape(IMAGES, 10)).to(memory_format=torch.channels_last).train()
    crop = torch.rand(BATCH, 3, image_size, image_size).to(memory_format=torch.channels_last)
    batch = Batch(
        crops=(crop,),
        index=torch.arange(BATCH),
        labels=torch.arange(BATCH) % 10,
        epoch=0,
        pass_index=0,
        step=1,
        progress=0.0,
        draws=draws_of(0),
    )
    return method, batch


def main() -> None:
    """Compare at the sizes of `lite` and at 64 pixels."""
    for width, image_size in ((0.25, 32), (0.5, 64)):
        naive, batch = make(NaiveMetAug, "alternating", width, image_size)
        alternating, _ = make(MetAug, "alternating", width, image_size)
        simultaneous, _ = make(MetAug, "simultaneous", width, image_size)
        seconds = interleaved(
            {
                "naive": partial(naive.update, batch),
                "alternating": partial(alternating.update, batch),
                "simultaneous": partial(simultaneous.update, batch),
            },
            rounds=7,
        )
        print_ratios(
            f"MetAug iteration, AlexNet x {width}, {image_size} px, batch {BATCH}",
            seconds,
            "naive",
        )


if __name__ == "__main__":
    main()
