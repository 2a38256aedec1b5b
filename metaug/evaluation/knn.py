"""Weighted k-nearest-neighbour accuracy on frozen representations."""

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.07


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
    keys = F.normalize(train[0], dim=1)
    hits = 0
    for features, labels in zip(test[0].split(1024), test[1].split(1024), strict=True):
        cosine = F.normalize(features, dim=1) @ keys.T
        nearest = cosine.topk(min(neighbours, len(keys)), dim=1)
        votes = torch.zeros(len(features), classes, device=features.device)
        weights = ((nearest.values - 1) / TEMPERATURE).exp()
        votes.scatter_add_(1, train[1][nearest.indices], weights)
        hits += int((votes.argmax(1) == labels).sum())
    return hits / len(test[1]) * 100
