"""NNCLR (Dwibedi et al. 2021): the positive is the nearest neighbour among past embeddings."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from baselines.recipes import lightly_cifar
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.queue import FeatureQueue, check_queue
from metaug.spec import Frozen, TrialSpec


def nnclr_loss(nn1: Tensor, nn2: Tensor, p1: Tensor, p2: Tensor, temperature: float) -> Tensor:
    """InfoNCE between neighbours and predictions of the other crop (Dwibedi et al. 2021, Eq. 2).

    The anchor is a neighbour; its positive is its image's prediction for the other crop, its
    negatives are the other images' predictions for that crop (solo-learn; lightly takes those for
    both). Gradient flows through the predictions alone.

    Args:
        nn1, nn2: nearest neighbours of the two crops' projections, (N, D), not yet normalised.
        p1, p2: predictions for the two crops, (N, D), not yet normalised.
        temperature: > 0.

    Returns:
        Mean over the batch and the two directions, a scalar > 0.
    """
    targets = torch.arange(len(p1), device=p1.device)
    pairs = ((nn1, p2), (nn2, p1))
    logits = [
        F.normalize(n.detach(), dim=1) @ F.normalize(p, dim=1).T / temperature for n, p in pairs
    ]
    return torch.stack([F.cross_entropy(each, targets) for each in logits]).mean()


def nearest_neighbours(embeddings: Tensor, support: Tensor) -> Tensor:
    """Row of `support` (K, D), unit norm, that is closest by cosine to each embedding, (N,)."""
    return (embeddings.detach() @ support.T).argmax(1)


class NetworkHyper(Frozen):
    """Sizes of NNCLR's heads and support set."""

    queue_size: int = Field(
        4096,
        ge=1,
        description="past projections searched for neighbours; lightly's CIFAR recipe (NNCLR: "
        "98,304, unverified)",
    )
    projector_layers: int = Field(
        3, ge=2, description="linear layers of the projector; NNCLR as in lightly"
    )
    projector_hidden: int = Field(
        2048, ge=1, description="width of the projector; NNCLR as in lightly"
    )
    predictor_hidden: int = Field(
        4096, ge=1, description="width of the predictor; NNCLR as in lightly"
    )
    feature_dim: int = Field(256, ge=1, description="width of the embedding; NNCLR as in lightly")


class NNCLR(Method):
    """NNCLR: projections are searched for and enqueued, predictions learn.

    `own` is lightly's CIFAR recipe (benchmarks/cifar10): projector 2048-256, T 0.5, 4096
    neighbours; lightly takes the negatives of both crops and enqueues the second.
    """

    name = "nnclr"
    data_parallel = ("encoders", "projector", "predictor")
    presets = lightly_cifar(projector_layers=2, temperature=0.5)

    class Hyper(NetworkHyper):
        """Hyper-parameters of NNCLR."""

        temperature: float = Field(0.1, gt=0, description="softmax temperature; NNCLR (unverified)")

    @classmethod
    def check(cls, spec: TrialSpec, hyper: NetworkHyper) -> None:
        check_queue(spec, hyper.queue_size)

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        hidden = [h.projector_hidden] * (h.projector_layers - 1)
        self.projector = mlp(
            (self.out_features, *hidden, h.feature_dim),
            hidden_bias=False,
            last_bias=False,
            last_batch_norm=True,
        )
        self.predictor = mlp((h.feature_dim, h.predictor_hidden, h.feature_dim), hidden_bias=False)
        self.queue = FeatureQueue(h.queue_size, h.feature_dim)
        self.register_buffer("queue_labels", torch.full((h.queue_size,), -1))

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = (self.projector(self.encode(crop)) for crop in batch.crops)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        z1, z2, p1, p2 = map(self.gather, (z1, z2, p1, p2))
        (nn1, nn2), agreement = self.search(z1, z2, batch.labels)
        self.enqueue(z1, batch.labels)
        loss = nnclr_loss(nn1, nn2, p1, p2, self.hyper.temperature)
        return loss, {"neighbour_label_accuracy": agreement}

    def search(
        self, z1: Tensor, z2: Tensor, labels: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Find the neighbours of both crops' projections. Call it before `enqueue`: afterwards a
        projection would find itself.

        Returns:
            The neighbours of z1 and of z2, each (N, D), unit norm, without gradient; and the share
            of z1's that have their image's label, in [0, 1] (labels are only watched).
        """
        rows1, rows2 = (nearest_neighbours(z, self.queue.features) for z in (z1, z2))
        neighbours = self.queue.features[rows1], self.queue.features[rows2]
        agreement = (self.get_buffer("queue_labels")[rows1] == labels).float().mean()
        return neighbours, agreement

    def enqueue(self, z1: Tensor, labels: Tensor) -> None:
        """Put the first crops' projections and their images' labels into the queue."""
        self.get_buffer("queue_labels")[self.queue.enqueue(z1)] = labels
