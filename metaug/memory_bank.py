"""A memory bank: the last features of every training image, one bank for each view."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from metaug.seeds import generator

BankStart = Annotated[
    Literal["data", "random"],
    Field(
        description="the bank's first rows: the untrained network's features of each image "
        "(choice), or random rows as in the code of CMC and of the release, against which the "
        "first epoch's positives are noise"
    ),
]


class MemoryBank(nn.Module):
    """Features (n, D) of all n training images for each view, updated by exponential averaging.

    As in CMC (HobbitLong/CMC: NCE/NCEAverage.py): rows start uniform on [-sqrt(3/D), sqrt(3/D)]
    (mean norm about 1), an update is m <- normalise(momentum m + (1 - momentum) z). Rows carry no
    gradient. A draw gives the numbers of as many rows as are asked for: for the whole batch, or for
    each image.

    Examples:
        >>> import torch, metaug
        >>> bank = metaug.MemoryBank(("left", "right"), rows=1000, dim=16, momentum=0.5)
        >>> index = torch.tensor([3, 141, 592])  # which images these are
        >>> features = torch.nn.functional.normalize(torch.randn(3, 16))
        >>> bank.update("left", index, features)
        >>> bank.read("left", index).shape
        torch.Size([3, 16])

    Args:
        views: a name for each view.
        rows: number of training images.
        dim: width of their features.
        momentum: share of a row that an update keeps, in [0, 1].
    """

    def __init__(self, views: tuple[str, ...], rows: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.rows = rows
        self.momentum = momentum
        for view in views:
            self.register_buffer(view, torch.empty(rows, dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the rows that the bank starts with; those of a view do not depend on the others."""
        seed = int(torch.randint(2**62, (), device="cpu"))
        for view, rows in self.named_buffers():
            bound = math.sqrt(3 / rows.shape[1])
            source = generator(seed, view)
            rows.copy_(torch.empty(rows.shape).uniform_(-bound, bound, generator=source))

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views, in their order."""
        return tuple(name for name, _ in self.named_buffers())

    def draw(self, count: int, source: torch.Generator | None) -> Tensor:
        """Draw `count` row numbers uniformly with replacement, (count,) int64.

        An image's own row and duplicates are possible, as in the release. Without a `source` they
        come from torch's global random state.
        """
        index = torch.randint(self.rows, (count,), generator=source)
        return index.to(self.device)

    @property
    def device(self) -> torch.device:
        return next(self.buffers()).device

    def read(self, view: str, index: Tensor) -> Tensor:
        """Rows of a view, (len(index), D), a copy without gradient."""
        return self.get_buffer(view)[index]

    @torch.no_grad()
    def fill(self, parts: Iterable[tuple[Tensor, Mapping[str, Tensor]]]) -> None:
        """Replace rows by features.

        Args:
            parts: numbers of rows (N,) and the unit-norm features (N, D) of each view.
        """
        for index, features in parts:
            for view, z in features.items():
                rows = self.get_buffer(view)
                rows[index] = z.to(rows.dtype)

    @torch.no_grad()
    def update(self, view: str, index: Tensor, features: Tensor) -> None:
        """Blend unit-norm `features` (N, D) into rows `index` (N,) of a view and renormalise."""
        bank = self.get_buffer(view)
        blended = torch.lerp(features.to(bank.dtype), bank[index], self.momentum)
        bank[index] = F.normalize(blended, dim=1)
