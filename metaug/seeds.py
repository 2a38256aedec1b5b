"""Seeds, derived so that any draw of any trial can be repeated on its own.

No seed depends on the method or on a hyper-parameter. Initial weights come from the trial and the
module's name, crops and negatives from the trial and the place in the training. So two methods that
share a module or a draw share its numbers, and a comparison of them, paired by trial, differs in
nothing but what it is about. A resumed training needs no saved generator.
"""

import hashlib
from collections.abc import Callable

import torch

Draws = Callable[[str], torch.Generator]
"""Gives a fresh generator for each purpose, such as `negatives`; equal purposes, equal draws."""


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2^63) that depends on the text of all parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A generator on the CPU, seeded with `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def draws_of(*place: object) -> Draws:
    """The draws at a place of a training, such as (trial, epoch, pass, position)."""
    return lambda purpose: generator("draws", *place, purpose)


def subset_generator(trial: int) -> torch.Generator:
    """Draws the training subset of a trial."""
    return generator("subset", trial)


def validation_generator(trial: int) -> torch.Generator:
    """Draws the images that a trial holds out for validation."""
    return generator("validation", trial)


def epoch_order(trial: int, epoch: int, pass_index: int, images: int) -> torch.Tensor:
    """Order of the training images in one pass, (images,)."""
    return torch.randperm(images, generator=generator("order", trial, epoch, pass_index))
