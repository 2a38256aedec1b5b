"""A first-in-first-out queue of past features: MoCo's negatives, NNCLR's support set."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaug.errors import UserError
from metaug.spec import TrialSpec


class FeatureQueue(nn.Module):
    """The last `size` features that were enqueued, unit-norm rows without gradient.

    A ring: new rows overwrite the oldest. Rows start as normalised Gaussian noise
    (facebookresearch/moco: moco/builder.py), so that the first size / N steps see random features;
    `is_full` tells when none of them is left. All state is in buffers.

    Attributes:
        features: (size, D), unit norm; its order is that of the ring, not of age.
        enqueued: number of rows ever enqueued, a scalar int64.
    """

    features: Tensor
    enqueued: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.empty(size, dim))
        self.register_buffer("enqueued", torch.zeros((), dtype=torch.int64))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the rows that the queue starts with, and forget what was enqueued."""
        self.features.copy_(F.normalize(torch.randn(self.features.shape), dim=1))
        self.enqueued.zero_()

    @property
    def is_full(self) -> bool:
        """Whether every row has been enqueued."""
        return int(self.enqueued) >= len(self.features)

    @torch.no_grad()
    def enqueue(self, features: Tensor) -> Tensor:
        """Put `features` (N, D), normalised on entry, in the place of the oldest N rows.

        Call it when the loss of the step has read the queue: earlier, a feature would meet itself.
        The rows are overwritten in place: what a graph still needs must be a copy (`read`).

        Returns:
            The rows written, (N,) int64, to keep further data of the same images beside them.

        Raises:
            ValueError: N exceeds the size of the queue.
        """
        size = len(self.features)
        if len(features) > size:
            raise ValueError(f"{len(features)} features do not fit into a queue of {size}")
        steps = torch.arange(len(features), device=self.enqueued.device)
        rows = (self.enqueued + steps) % size
        self.features[rows] = F.normalize(features.to(self.features.dtype), dim=1)
        self.enqueued += len(features)
        return rows

    def read(self) -> Tensor:
        """A copy of all rows, (size, D), which later calls of `enqueue` leave alone."""
        return self.features.clone()


def check_queue(spec: TrialSpec, size: int) -> None:
    """Refuse, with a `UserError`, a `queue_size` that is no multiple of the batch size."""
    if size % spec.batch_size:
        raise UserError(
            f"{spec.method}: queue_size {size} is not a multiple of batch_size {spec.batch_size}; "
            "a queue holds whole batches"
        )
