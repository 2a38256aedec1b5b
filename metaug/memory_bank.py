"""A memory bank: the last features of every training image, one bank for each view."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemoryBank(nn.Module):
    """Features (n, D) of all n training images for each view, updated by exponential averaging.

    As in CMC (HobbitLong/CMC: NCE/NCEAverage.py): rows start uniform on [-sqrt(3/D), sqrt(3/D)]
    (mean norm about 1), an update is m <- normalise(momentum m + (1 - momentum) z). Rows carry no
    gradient. One draw of negatives serves the whole batch, so that the scores are one matrix
    product for each pair of views (choice: the release draws anew for each image, at the cost of
    gathering N K rows; every image sees the same distribution either way).
    """

    def __init__(self, views: tuple[str, ...], rows: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.rows = rows
        self.momentum = momentum
        bound = math.sqrt(3 / dim)
        for view in views:
            self.register_buffer(view, torch.empty(rows, dim).uniform_(-bound, bound))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` row numbers uniformly with replacement, (count,) int64.

        An image's own row and duplicates are possible, as in the release.
        """
        index = torch.randint(self.rows, (count,), generator=generator)
        return index.to(self.device)

    @property
    def device(self) -> torch.device:
        return next(self.buffers()).device

    def read(self, view: str, index: Tensor) -> Tensor:
        """Rows of a view, (len(index), D), a copy without gradient."""
        return self.get_buffer(view)[index]

    @torch.no_grad()
    def update(self, view: str, index: Tensor, features: Tensor) -> None:
        """Blend unit-norm `features` (N, D) into rows `index` (N,) of a view and renormalise."""
        bank = self.get_buffer(view)
        blended = torch.lerp(features.to(bank.dtype), bank[index], self.momentum)
        bank[index] = F.normalize(blended, dim=1)
