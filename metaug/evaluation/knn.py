"""Weighted k-nearest-neighbour accuracy on frozen representations."""

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.07

KEYS, KEY_NUMBERS = 2**17, 2**29
"""Training images, and numbers in their features, that are compared with at a time."""


def knn_accuracy(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int, neighbours: int
) -> float:
    """Top-1 accuracy, per cent, of a vote of the nearest training images by cosine.

    A neighbour's vote weighs exp(cosine / 0.07) (Wu et al. 2018, section 3.4).

    Args:
        train: features (N, D) and labels (N,).
        test: features (M, D) and labels (M,).
        classes: number of classes.
        neighbours: k; at most N are used.
    """
    chunks = test[0].split(1024)
    nearest: list[tuple[Tensor, Tensor]] = []
    first = 0
    for part in train[0].split(max(1, min(KEYS, KEY_NUMBERS // train[0].shape[1]))):
        keys = F.normalize(part, dim=1)
        found = [_nearest(features, keys, first, neighbours) for features in chunks]
        if nearest:
            found = [_nearer(*pair, neighbours) for pair in zip(nearest, found, strict=True)]
        nearest = found
        first += len(part)
    hits = 0
    for (cosines, indices), labels in zip(nearest, test[1].split(1024), strict=True):
        votes = torch.zeros(len(labels), classes, device=cosines.device)
        weights = ((cosines - 1) / TEMPERATURE).exp()
        votes.scatter_add_(1, train[1][indices], weights)
        hits += int((votes.argmax(1) == labels).sum())
    return hits / len(test[1]) * 100


def _nearest(features: Tensor, keys: Tensor, first: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Cosines and numbers of the nearest of unit-norm keys (N, D), counted from `first`."""
    cosine = F.normalize(features, dim=1) @ keys.T
    values, indices = cosine.topk(min(neighbours, len(keys)), dim=1)
    return values, indices + first


def _nearer(
    some: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], neighbours: int
) -> tuple[Tensor, Tensor]:
    """The nearest of both."""
    cosines, indices = (torch.cat(pair, 1) for pair in zip(some, others, strict=True))
    values, order = cosines.topk(min(neighbours, cosines.shape[1]), dim=1)
    return values, indices.gather(1, order)
