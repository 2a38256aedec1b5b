"""MoCo v2 (He et al. 2020; Chen et al. 2020): a momentum encoder and a queue of its past keys."""

from collections.abc import Callable
from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.recipes import lightly_cifar
from metaug.ema import ema_update, momentum_copy
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.queue import FeatureQueue, check_queue
from metaug.spec import Frozen, TrialSpec


def info_nce_loss(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries against their keys and a queue (He et al. 2020, Eq. 1).

    One direction, no in-batch negatives; gradient flows through the queries alone.

    Args:
        query: embeddings, (N, D), not yet normalised.
        key: embedding of the other crop of each image, (N, D), not yet normalised.
        queue: negatives shared by the batch, (K, D), not yet normalised.
        temperature: > 0.

    Returns:
        Mean over the batch, a scalar > 0; ln(1 + K) where all similarities are equal.
    """
    query = F.normalize(query, dim=1)
    key, queue = F.normalize(key.detach(), dim=1), F.normalize(queue.detach(), dim=1)
    positive = (query * key).sum(1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], 1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def encode_in_splits(encode: Callable[[Tensor], Tensor], images: Tensor, splits: int) -> Tensor:
    """Encode a batch (N, ...) in equal parts, so that batch norm takes each part by itself."""
    return torch.cat([encode(part) for part in images.chunk(splits)])


def encode_shuffled(
    encode: Callable[[Tensor], Tensor], images: Tensor, source: torch.Generator
) -> Tensor:
    """Encode a batch (N, ...) in a random order, put back in place: where batch norm takes parts of
    it, a key and its query do not share their statistics."""
    order = torch.randperm(len(images), generator=source).to(images.device)
    return encode(images[order])[order.argsort()]


def check_splits(spec: TrialSpec, splits: int) -> None:
    """Raise `UserError` where `bn_splits` does not divide the batch into parts of two or more."""
    if spec.batch_size % splits or spec.batch_size < 2 * splits:
        raise UserError(
            f"{spec.method}: bn_splits {splits} does not split a batch of {spec.batch_size} "
            "into equal parts of at least 2 images"
        )


class MoCo(Method):
    """MoCo v2: asymmetric loss, a head without batch norm.

    One device stands for the several of the paper: batch norm works on `bn_splits` parts of the
    batch, and the keys' parts are drawn at random, so that a query and its key do not share their
    statistics ("shuffling BN", He et al. 2020, section 3.3; so does the reference CIFAR demo).

    `own` is lightly's CIFAR recipe (benchmarks/cifar10): head 512-512-128, T 0.1, 8 parts; its loss
    is symmetric, MoCo's and ours is not.
    """

    name = "moco"
    version = 2
    presets = lightly_cifar(temperature=0.1, projector_hidden=512, bn_splits=8)

    class Hyper(Frozen):
        """Hyper-parameters of MoCo."""

        temperature: float = Field(0.2, gt=0, description="softmax temperature; MoCo v2")
        queue_size: int = Field(
            4096, ge=1, description="keys in the queue; MoCo's CIFAR demo (65,536 on ImageNet)"
        )
        momentum_start: float = Field(
            0.99,
            ge=0,
            le=1,
            description="momentum of the key encoder; MoCo's CIFAR demo (.999 on ImageNet)",
        )
        bn_splits: int = Field(
            4,
            ge=1,
            description="parts of a batch with batch norm of their own (choice); MoCo's demo: 8",
        )
        projector_hidden: int = Field(2048, ge=1, description="width of the head; MoCo v2")
        feature_dim: int = Field(128, ge=1, description="width of the embedding; MoCo")

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        check_queue(spec, hyper.queue_size)
        check_splits(spec, hyper.bn_splits)

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        self.projector = mlp(
            (self.out_features, h.projector_hidden, h.feature_dim), batch_norm=False
        )
        self.key_network = momentum_copy(self.query_network)
        self.queue = FeatureQueue(h.queue_size, h.feature_dim)

    def start(self) -> None:
        ema_update(self.key_network, self.query_network, 0)

    @property
    def query_network(self) -> nn.Sequential:
        """Encoder and projector that learn by gradient."""
        return nn.Sequential(self.encoder, self.projector)

    def embed(self, network: nn.Sequential, images: Tensor) -> Tensor:
        """Embeddings (N, D) of RGB crops by the query or the key network, not normalised."""
        encoder, projector = network
        return encode_in_splits(
            lambda part: projector(self.encode(part, encoder)), images, self.hyper.bn_splits
        )

    @torch.no_grad()
    def keys(self, batch: Batch) -> Tensor:
        """Keys (N, D) of the second crops, encoded in a random order and put back in place."""
        encode = partial(self.embed, self.key_network)
        return encode_shuffled(encode, batch.crops[1], batch.draws("shuffle"))

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        query = self.embed(self.query_network, batch.crops[0])
        ema_update(self.key_network, self.query_network, self.hyper.momentum_start)
        key = self.keys(batch)
        loss = info_nce_loss(query, key, self.queue.read(), self.hyper.temperature)
        self.queue.enqueue(key)
        return loss, {}
