"""Frozen representations of a whole split, computed once for each read-out."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from metaug.data.augment import Augmentation
from metaug.errors import Diverged
from metaug.method import Method

BATCH_SIZE = 256


@torch.no_grad()
def cache_features(
    method: Method,
    images: np.ndarray,
    device: torch.device,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Representations of uint8 images (N, H, W, 3) by read-out, each (N, D), on the CPU.

    Args:
        method: in eval mode.
        images: N images.
        device: where the method is.
        augmentation: applied to the images first (`none`: only brought to size and range).
        generator: source of the augmentation's draws.
    """
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), BATCH_SIZE):
        # a copy: torch warns of read-only memory maps
        batch = torch.from_numpy(images[start : start + BATCH_SIZE].copy()).permute(0, 3, 1, 2)
        crops = augmentation(batch.to(device), generator)
        for name, features in method.representation(crops).items():
            parts.setdefault(name, []).append(features.float().cpu())
    return {name: torch.cat(pieces) for name, pieces in parts.items()}


def require_finite(representations: Mapping[str, Tensor]) -> None:
    """Refuse representations (N, D) by read-out that no probe can make sense of.

    Raises:
        Diverged: a feature is not finite, or so large that its square is not; names the read-out.
    """
    for readout, features in representations.items():
        bad = int((~torch.isfinite(features.square().sum(1))).sum())
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
