"""Frozen representations of a whole split, computed once for each read-out."""

import os
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metaug.data.augment import Augmentation
from metaug.errors import Diverged, UserError
from metaug.method import Method

BATCH_SIZE = 256

MEMORY_LIMIT = 4 * 2**30
"""Bytes of representations that an evaluation keeps in memory, and of standardised ones that a
linear probe does. What is more is read from a file; the numbers are the same to the bit."""


class Storage:
    """Where the representations of one evaluation lie: in memory up to `MEMORY_LIMIT`, the rest in
    memory-mapped files. These have no name, so that none is left however the process ends.

    Args:
        folder: of the files; None: the system's for temporary ones.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.left = MEMORY_LIMIT

    def empty(self, rows: int, width: int) -> Tensor:
        """Room for representations (rows, width), float32.

        Raises:
            UserError: the disk has no room for them.
        """
        size = 4 * rows * width
        if size <= self.left:
            self.left -= size
            return torch.empty(rows, width)
        where = self.folder or Path(tempfile.gettempdir())
        try:
            where.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=where) as file:
                if hasattr(os, "posix_fallocate"):  # or a full disk would be a fatal signal
                    os.posix_fallocate(file.fileno(), 0, size)
                mapped = np.memmap(file, np.float32, "r+", shape=(rows, width))
        except OSError as error:
            raise UserError(
                f"no room for {size / 1e9:.0f} GB of features in {where}: {error.strerror}"
            ) from error
        return torch.from_numpy(mapped)


def on_device(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 images (N, H, W, 3) as a tensor (N, 3, H, W)."""
    # a copy: torch warns of read-only memory maps
    return torch.from_numpy(images.copy()).to(device).permute(0, 3, 1, 2)


@torch.no_grad()
def cache_features(
    method: Method,
    images: np.ndarray,
    device: torch.device,
    augmentation: Augmentation,
    generator: torch.Generator,
    storage: Storage | None = None,
) -> dict[str, Tensor]:
    """Representations of uint8 images (N, H, W, 3) by read-out, each (N, D), on the CPU.

    Args:
        method: in eval mode.
        images: N images.
        device: where the method is.
        augmentation: applied to the images first (`none`: only brought to size and range).
        generator: source of the augmentation's draws.
        storage: where to put them; None: in memory as far as they fit.
    """
    storage = storage or Storage()
    found: dict[str, Tensor] = {}
    starts = list(range(0, len(images), BATCH_SIZE))
    if len(starts) > 1 and len(images) == starts[-1] + 1:
        del starts[-1]  # no batch of a single image: batch norm in train mode refuses it
    for start, end in pairwise([*starts, len(images)]):
        batch = on_device(images[start:end], device)
        crops = augmentation(batch, generator)
        for name, features in method.representation(crops).items():
            if name not in found:
                found[name] = storage.empty(len(images), features.shape[1])
            found[name][start : start + len(features)] = features
    return found


def require_finite(representations: Mapping[str, Tensor]) -> None:
    """Refuse representations (N, D) by read-out that no probe can make sense of.

    Raises:
        Diverged: a feature is not finite, or so large that its square is not; names the read-out.
    """
    for readout, features in representations.items():
        bad = sum(
            int((~torch.isfinite(rows.square().sum(1))).sum())
            for rows in features.split(BATCH_SIZE)
        )
        if bad:
            raise Diverged(
                f"the features {readout} of {bad:,} of {len(features):,} images are not finite, or "
                "their squares are not, after the training"
            )


def spread(features: Tensor) -> dict[str, float]:
    """How spread out representations (N, D) are: two numbers that fall when they collapse.

    `feature_std` is the mean over dimensions of the standard deviation of the L2-normalised,
    centred features, times sqrt(D): about 1 for an isotropic cloud, 0 when all are equal.
    `effective_rank` is exp of the entropy of the normalised singular values of the centred
    features (Roy & Vetterli 2007), from 1 to D.
    """
    centred = features.double() - features.double().mean(0)
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    wide = centred.shape[1] > centred.shape[0]
    values = torch.linalg.eigvalsh(centred @ centred.T if wide else centred.T @ centred)
    values = values.clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-38)
    entropy = -(share * share.clamp(min=1e-38).log()).sum()
    return {
        "feature_std": float(unit.std(0, correction=0).mean() * features.shape[1] ** 0.5),
        "effective_rank": float(entropy.exp()),
    }
