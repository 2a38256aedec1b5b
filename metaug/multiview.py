"""OUCL on the embeddings of several views, for a training loop of your own."""

from collections.abc import Mapping, Sequence
from itertools import permutations

import torch.nn.functional as F
from torch import Tensor, nn

from metaug.algorithm.pairs import Pair, PairScores, Rows
from metaug.losses import on_cosines, oucl_form, pooled_loss


def oucl(
    embeddings: Sequence[Tensor],
    rows: Rows | None = None,
    *,
    beta: float = 16.0,
    gamma: float = 0.4,
) -> Tensor:
    """OUCL (Eq. 10 of the paper) over all ordered pairs of views, pooled for each image.

    A pair joins an anchor, the embedding of one view, and a target of another view. The positive
    targets are those of the same image, the negative ones those of other images: of the batch, or
    rows of a memory bank.

    Examples:
        >>> import torch, metaug
        >>> first, second, third = torch.randn(3, 8, 16).unbind()  # three views of eight images
        >>> apart = metaug.oucl([first, second, third])
        >>> alike = metaug.oucl([first, first, first])
        >>> bool(alike < apart)
        True

        With 100 negatives from a memory bank of 1,000 images, as in the paper:

        >>> bank = metaug.MemoryBank(("left", "right"), rows=1000, dim=16, momentum=0.5)
        >>> index = torch.arange(8)  # which images these are
        >>> loss = metaug.oucl([first, second], metaug.draw_rows(bank, index, 100))
        >>> bank.update("left", index, torch.nn.functional.normalize(first))
        >>> bank.update("right", index, torch.nn.functional.normalize(second))

    Args:
        embeddings: of each of two or more views, (N, D), not yet normalised.
        rows: targets by view, in the order of the embeddings, from `draw_rows`; None: the targets
            are the embeddings themselves, and gradients flow into them too.
        beta: inverse temperature, > 0; the released code's.
        gamma: margin, >= 0; the paper's.

    Returns:
        Mean over the images, a scalar > 0.

    Raises:
        ValueError: the embeddings do not fit together, or the rows do not fit them.
    """
    shapes = {tuple(z.shape) for z in embeddings}
    if len(embeddings) < 2 or len(shapes) > 1 or embeddings[0].ndim != 2:
        raise ValueError(
            "OUCL takes embeddings (N, D) of two or more views, "
            f"not {[tuple(z.shape) for z in embeddings]}"
        )
    features = named([F.normalize(z, dim=1) for z in embeddings], rows)
    rows = rows or Rows(features)
    if rows.negatives is None and len(embeddings[0]) < 2:
        raise ValueError("one image has no negatives in its batch: give more images, or rows")
    scores = PairScores(features, rows)
    return pooled_oucl(scores, list(permutations(features, 2)), beta=beta, gamma=gamma)


def pooled_oucl(scores: PairScores, pairs: list[Pair], *, beta: float, gamma: float) -> Tensor:
    """OUCL over pairs that are pooled for each image; a scalar, mean over the images."""
    form = on_cosines(oucl_form(beta=beta, gamma=gamma))
    return pooled_loss(*scores.masses(pairs, form), divisor=beta)


def named(tensors: Sequence[Tensor], rows: Rows | None) -> Mapping[str, Tensor]:
    """A tensor of each view by the names of the views in `rows`, or else by their numbers.

    Raises:
        ValueError: `rows` has another number of views.
    """
    names = list(rows.own) if rows else [str(view) for view in range(len(tensors))]
    if len(names) != len(tensors):
        raise ValueError(f"{len(tensors)} views, but rows of {len(names)}: {', '.join(names)}")
    return dict(zip(names, tensors, strict=True))


class OUCL(nn.Module):
    """`oucl` as a module without parameters: takes embeddings (N, D) of two or more views.

    Examples:
        >>> import torch, metaug
        >>> criterion = metaug.OUCL(beta=16, gamma=0.4)
        >>> z1, z2 = torch.randn(2, 8, 16, requires_grad=True).unbind()
        >>> criterion([z1, z2]).backward()

    Args:
        beta: inverse temperature, > 0.
        gamma: margin, >= 0.

    Raises:
        ValueError: `beta` or `gamma` is outside its range.
    """

    def __init__(self, beta: float = 16.0, gamma: float = 0.4) -> None:
        super().__init__()
        if not (beta > 0 and gamma >= 0):
            raise ValueError(f"OUCL needs beta > 0 and gamma >= 0, not {beta} and {gamma}")
        self.beta = beta
        self.gamma = gamma

    def forward(self, embeddings: Sequence[Tensor], rows: Rows | None = None) -> Tensor:
        """The loss, a scalar; arguments as those of `oucl`."""
        return oucl(embeddings, rows, beta=self.beta, gamma=self.gamma)

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"beta={self.beta}, gamma={self.gamma}"
