"""Scores of pairs: an anchor, original or augmented, with rows of a target view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metaug.losses import Form
from metaug.memory_bank import MemoryBank

Pair = tuple[str, str]
"""Name of an anchor, and the view whose rows it is compared with."""


def augmented(view: str) -> str:
    """The name of a view's augmented feature among the anchors."""
    return f"{view}~"


@dataclass(frozen=True)
class Rows:
    """What the anchors of a batch are compared with in one evaluation of a loss, by view.

    Examples:
        >>> import torch, metaug
        >>> rows = torch.nn.functional.normalize(torch.randn(2, 8, 16), dim=2)
        >>> past = metaug.Rows({"left": rows[0], "right": rows[1]})
        >>> loss = metaug.oucl(torch.randn(2, 8, 16).unbind(), past)

    Attributes:
        own: the positives of the batch's images, (N, D).
        negatives: (K, D) for the whole batch; (N, K, D), some for each image; or None: the `own`
            rows of the other images.
    """

    own: Mapping[str, Tensor]
    negatives: Mapping[str, Tensor] | None = None


def draw_rows(
    bank: MemoryBank,
    index: Tensor,
    count: int,
    source: torch.Generator | None = None,
    each_image: bool = False,
) -> Rows:
    """Rows of a memory bank, without gradient: those of the batch's images, and random ones.

    Examples:
        >>> import torch, metaug
        >>> bank = metaug.MemoryBank(("left", "right"), rows=1000, dim=16, momentum=0.5)
        >>> rows = metaug.draw_rows(bank, torch.arange(8), 100)
        >>> rows.own["left"].shape, rows.negatives["right"].shape
        (torch.Size([8, 16]), torch.Size([100, 16]))

    Args:
        bank: has features of every image.
        index: the batch's images, (N,).
        count: number of negatives.
        source: what they are drawn with; None: torch's global random state.
        each_image: draw negatives for each image, not for the whole batch.
    """
    images = len(index)
    drawn = bank.draw(images * count if each_image else count, source)
    negatives = {view: bank.read(view, drawn) for view in bank.views}
    if each_image:
        negatives = {view: rows.view(images, count, -1) for view, rows in negatives.items()}
    return Rows({view: bank.read(view, index) for view in bank.views}, negatives)


class PairScores:
    """Cosines between anchors and rows, each computed once, when it is first asked for.

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
            self._negative[pair] = self._compared(self.anchors[anchor], target)
        return self._negative[pair]

    def _compared(self, z: Tensor, target: str) -> Tensor:
        if self.rows.negatives is None:
            return off_diagonal(z @ self.rows.own[target].T)
        rows = self.rows.negatives[target]
        return z @ rows.T if rows.ndim == 2 else (rows @ z[:, :, None])[..., 0]

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

    def masses(self, pairs: list[Pair], form: Form) -> tuple[Tensor, Tensor]:
        """What the positives and the negatives of each image sum up to over several pairs.

        Args:
            pairs: of an anchor and a target view.
            form: exponents, as functions of cosines; the same in every call.

        Returns:
            Logs of the sums of exponentials of positives and of negatives, (N,) each.
        """
        positive = form.positive(self.positives(pairs)).logsumexp(1)
        negative = torch.stack([self.negative_mass(*pair, form.negative) for pair in pairs], 1)
        return positive, negative.logsumexp(1)


def off_diagonal(square: Tensor) -> Tensor:
    """The rows (N, N - 1) of a matrix (N, N) without its diagonal, in their order."""
    count = len(square)
    return square.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
