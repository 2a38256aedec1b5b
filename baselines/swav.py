"""SwAV (Caron et al. 2020): predict the cluster assignment of one crop from the other."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.recipes import lightly_cifar
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.queue import FeatureQueue, check_queue
from metaug.spec import Frozen, TrialSpec


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Assignments of samples to prototypes, equally many to each (Caron et al. 2020, Eq. 3).

    Sinkhorn-Knopp on exp(scores / epsilon): every iteration makes the columns sum to N / P, then
    the rows to 1 (facebookresearch/swav: main_swav.py, with its axes swapped); computed on a log
    scale, so that no epsilon overflows.

    Args:
        scores: cosines with the prototypes, (N, P).
        epsilon: > 0; the smaller, the harder the assignments.
        iterations: >= 1.

    Returns:
        (N, P) without gradient; rows sum to 1, columns roughly to N / P.
    """
    logits = scores / epsilon
    for _ in range(iterations):
        logits = logits - logits.logsumexp(0, keepdim=True)
        logits = logits - logits.logsumexp(1, keepdim=True)
    return logits.exp()


def swav_loss(
    scores: Sequence[Tensor], assignments: Sequence[Tensor], temperature: float
) -> Tensor:
    """Cross-entropy of every crop with the assignments of another (Caron et al. 2020, Eq. 1).

    Args:
        scores: cosines with the prototypes of each of the V >= 2 crops, (N, P) each.
        assignments: rows that sum to 1, (N, P), of the first A <= V crops; constants.
        temperature: > 0.

    Returns:
        Mean over the batch, the A assignments and the V - 1 other crops, a scalar > 0; ln P where
        all scores are equal.
    """
    logs = [(crop / temperature).log_softmax(1) for crop in scores]
    terms = [
        -(assigned.detach() * log).sum(1).mean()
        for a, assigned in enumerate(assignments)
        for v, log in enumerate(logs)
        if v != a
    ]
    return torch.stack(terms).mean()


class SwAV(Method):
    """SwAV with two crops of one size (no multi-crop: an AlexNet takes one size of image).

    One queue for each crop joins in once it is full: its embeddings are scored anew with the
    current prototypes, and only help to compute the assignments of the batch.

    `own` is lightly's CIFAR recipe (benchmarks/cifar10): head 512-512-128, 512 prototypes, never
    frozen, no queue, Adam 1e-3 at batch 128; its crops start at an area of .14, ours at .08.
    """

    name = "swav"
    presets = lightly_cifar(
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=1e-6,
        projector_hidden=512,
        prototypes=512,
        frozen_epochs=0,
        queue_size=0,
    )

    class Hyper(Frozen):
        """Hyper-parameters of SwAV."""

        temperature: float = Field(0.1, gt=0, description="softmax temperature; SwAV")
        epsilon: float = Field(0.05, gt=0, description="smoothness of the assignments; SwAV")
        sinkhorn_iterations: int = Field(3, ge=1, description="Sinkhorn iterations; SwAV")
        prototypes: int = Field(
            512, ge=2, description="number of prototypes; (choice) for batch 64 (SwAV: 3000)"
        )
        queue_size: int = Field(
            3840, ge=0, description="embeddings in each queue, 0: no queue; SwAV at batch 256"
        )
        queue_start: float = Field(
            0.05,
            ge=0,
            le=1,
            description="share of the training after which the queues fill; SwAV's epoch 15, here "
            "of 300 (choice)",
        )
        frozen_epochs: int = Field(
            1, ge=0, description="epochs in which the prototypes do not learn; SwAV at batch 256"
        )
        projector_hidden: int = Field(2048, ge=1, description="width of the projector; SwAV")
        feature_dim: int = Field(128, ge=1, description="width of the embedding; SwAV")

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        check_queue(spec, hyper.queue_size)

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        self.projector = mlp((self.out_features, h.projector_hidden, h.feature_dim))
        self.prototypes = nn.Linear(h.feature_dim, h.prototypes, bias=False)
        self.first_queue = FeatureQueue(h.queue_size, h.feature_dim)
        self.second_queue = FeatureQueue(h.queue_size, h.feature_dim)

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        return self.swapped_prediction(self.embed(batch), batch), {}

    def embed(self, batch: Batch) -> list[Tensor]:
        """Unit-norm embeddings (N, D) of each crop."""
        return [F.normalize(self.projector(self.encode(crop)), dim=1) for crop in batch.crops]

    def swapped_prediction(self, embeddings: Sequence[Tensor], batch: Batch) -> Tensor:
        """SwAV's loss of a step, a scalar: renews the prototypes' norm, then fills the queues."""
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
        queues = (self.first_queue, self.second_queue)
        scores = [self.prototypes(z) for z in embeddings]
        assignments = [self.assign(*pair) for pair in zip(scores, queues, strict=True)]
        if self.hyper.queue_size and batch.progress >= self.hyper.queue_start:
            for queue, z in zip(queues, embeddings, strict=True):
                queue.enqueue(z)
        return swav_loss(scores, assignments, self.hyper.temperature)

    @torch.no_grad()
    def assign(self, scores: Tensor, queue: FeatureQueue) -> Tensor:
        """Assignments (N, P) of one crop, with the help of its queue once that is full."""
        h = self.hyper
        together = scores
        if queue.is_full:
            together = torch.cat([scores, self.prototypes(queue.features)])
        return sinkhorn(together, h.epsilon, h.sinkhorn_iterations)[: len(scores)]

    def before_step(self, batch: Batch) -> None:
        if batch.epoch < self.hyper.frozen_epochs:
            self.prototypes.weight.grad = None
