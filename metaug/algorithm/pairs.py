"""Scores of pairs: an anchor, original or augmented, with rows of a target view's memory bank."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[str, str]
"""Name of an anchor, and the view whose bank rows it is compared with."""


def augmented(view: str) -> str:
    """The name of a view's augmented feature among the anchors."""
    return f"{view}~"


@dataclass(frozen=True)
class Rows:
    """Bank rows that one evaluation of a loss reads, by view, without gradient.

    Attributes:
        own: the rows of the batch's images, (N, D).
        negatives: drawn rows, (K, D) for the whole batch or (N, K, D), some for each image.
    """

    own: Mapping[str, Tensor]
    negatives: Mapping[str, Tensor]


class PairScores:
    """Cosines between anchors and bank rows, each computed once, when it is first asked for.

    Args:
        anchors: unit-norm features (N, D): each view's under its name, its augmented one's under
            `augmented(view)`.
        rows: what they are compared with.
    """

    def __init__(self, anchors: Mapping[str, Tensor], rows: Rows) -> None:
        self.anchors = anchors
        self.rows = rows
        self._negative: dict[Pair, Tensor] = {}
        self._mass: dict[Pair, Tensor] = {}

    def positive(self, anchor: str, target: str) -> Tensor:
        """Cosine of each image's anchor with its own row of the target view, (N,)."""
        return (self.anchors[anchor] * self.rows.own[target]).sum(1)

    def negative(self, anchor: str, target: str) -> Tensor:
        """Cosines of each image's anchor with its negatives of the target view, (N, K)."""
        pair = anchor, target
        if pair not in self._negative:
            z, rows = self.anchors[anchor], self.rows.negatives[target]
            self._negative[pair] = z @ rows.T if rows.ndim == 2 else (rows @ z[:, :, None])[..., 0]
        return self._negative[pair]

    def negative_mass(
        self, anchor: str, target: str, exponent: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Log of the sum of exponentials of `exponent` over the negatives, (N,)."""
        pair = anchor, target
        if pair not in self._mass:
            self._mass[pair] = exponent(self.negative(*pair)).logsumexp(1)
        return self._mass[pair]

    def positives(self, pairs: list[Pair]) -> Tensor:
        """Positive cosines of several pairs, (N, len(pairs))."""
        return torch.stack([self.positive(*pair) for pair in pairs], 1)
