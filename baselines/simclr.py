"""SimCLR (Chen et al. 2020): two augmented crops, one encoder, in-batch negatives."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.spec import Frozen, TrialSpec


def nt_xent_loss(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, Eq. 1).

    Every embedding is an anchor; its positive is the other view of its image and its negatives
    are the 2N - 2 embeddings of other images. Gradient flows through both members of a pair. The
    official code returns the sum of the two directions' means: twice this.

    Args:
        z1, z2: embeddings of the two views, (N, D), N >= 2; they need not be normalised.
        temperature: > 0.

    Returns:
        Mean over the 2N anchors, a scalar > 0; ln(2N - 1) where all embeddings are equal.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    targets = torch.arange(len(z), device=z.device).roll(len(z1))
    return F.cross_entropy(logits, targets)


class SimCLR(Method):
    """SimCLR with a two-layer projection head 2048-128.

    The `metaug` preset is the comparison's common protocol: head and temperature are (choice).
    `own` is lightly's CIFAR recipe (lightly-ai/lightly, benchmarks): head 512-512-128, T 0.5, SGD
    0.06 * B / 128, weight decay 5e-4, cosine, no blur.
    """

    name = "simclr"
    version = 2
    data_parallel: ClassVar[tuple[str, ...]] = ("encoders", "projector")
    presets: ClassVar = {
        "own": {
            "augmentation": "simclr",
            "batch_size": 128,
            "optimizer": "sgd",
            "learning_rate": 0.06,
            "weight_decay": 5e-4,
            "schedule": "cosine",
            "projector_hidden": 512,
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of SimCLR."""

        temperature: float = Field(
            0.5, gt=0, description="softmax temperature; SimCLR's CIFAR recipe"
        )
        projector_hidden: int = Field(2048, ge=1, description="width of the head; (choice)")
        feature_dim: int = Field(128, ge=1, description="width of the embedding; SimCLR")

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        self.projector = mlp(
            (self.out_features, self.hyper.projector_hidden, self.hyper.feature_dim),
            hidden_bias=False,
            last_bias=False,
            last_batch_norm=True,
        )

    def embeddings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings of the two crops of the whole batch, (N, D) each, not normalised."""
        z1, z2 = (self.gather(self.projector(self.encode(crop))) for crop in batch.crops)
        return z1, z2

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = self.embeddings(batch)
        return nt_xent_loss(z1, z2, self.hyper.temperature), {}
