"""How a training is run: its device, its precision, and what is shown and kept of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from metaug.errors import UserError


@dataclass(frozen=True)
class Runtime:
    """How a training is run. Device, precision and the number of threads of PyTorch change its
    numbers, if only by rounding; the rest does not.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, ...; see `choose_device`.
        mixed_precision: bfloat16 autocast of the encoders (CUDA only).
        checkpoint_seconds: least time between two checkpoints; 0: after every step.
        progress: show a progress bar where stderr is a terminal.
        tensorboard: folder for TensorBoard events, or None.
        announce: told the trial and the folder of its checkpoint before the first step, so that
            other processes can join (`metaug.suite.helpers`).
    """

    device: torch.device
    mixed_precision: bool = False
    checkpoint_seconds: float = 60.0
    progress: bool = True
    tensorboard: Path | None = None
    announce: Callable[[int, Path], None] = lambda trial, folder: None


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        UserError: the name is none of a device, or there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"device {name!r} is not available here; try device=auto") from None
    return device
