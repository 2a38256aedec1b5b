"""Seeds, derived so that any step of any trial can be repeated on its own.

What is drawn at a step depends on the seed and the step's number alone: a resumed training needs
no saved generator. Subset and order depend on the trial number only, so that all methods see equal
draws and their differences are paired.
"""

import hashlib

import torch

from metaug.spec import TrialSpec


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2^63) that depends on the text of all parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A generator on the CPU, seeded with `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def trial_seed(spec: TrialSpec, trial: int) -> int:
    """Seed of everything in a trial but its data subset and order."""
    return derive_seed("trial", spec.hash, trial)


def subset_generator(trial: int) -> torch.Generator:
    """Draws the training subset of a trial: the same for every method."""
    return generator("subset", trial)


def epoch_order(trial: int, epoch: int, pass_index: int, images: int) -> torch.Tensor:
    """Order of the training images in one pass, (images,): the same for every method."""
    return torch.randperm(images, generator=generator("order", trial, epoch, pass_index))
