"""LooC (Xiao et al. 2021): one embedding space that ignores all augmentations, and for each of them
one that is sensitive to it.

No official code exists; the form is the paper's as the literature cites it (unverified). MoCo is
its base and the case of no augmentation left out.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.moco import check_splits, encode_in_splits, encode_shuffled
from metaug.data.augment import operations_of
from metaug.ema import ema_update, momentum_copy
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.queue import FeatureQueue, check_queue
from metaug.seeds import Draws
from metaug.spec import Frozen, TrialSpec


def looc_loss(queries: Tensor, keys: Tensor, queues: Tensor, temperature: float) -> Tensor:
    """Leave-one-out contrastive loss (Xiao et al. 2021, section 3, unverified).

    Space 0 is MoCo's: the positive is key 0. In space i > 0 the positive is key i, which shares
    augmentation i with the query; the image's other keys are negatives, since they differ in it.
    With S = 1 this is `baselines.moco.info_nce_loss`. Gradient flows through the queries alone.

    Args:
        queries: embeddings of the query in each of S spaces, (S, N, D), not yet normalised.
        keys: embedding in space i of key j of each image, [i, j] of (S, S, N, D), not yet
            normalised; of space 0 only key 0 is used.
        queues: negatives of each space, (S, K, D), not yet normalised.
        temperature: > 0.

    Returns:
        Mean over the batch and the spaces, a scalar > 0; where all similarities are equal
        (ln(1 + K) + (S - 1) ln(S + K)) / S.
    """
    queries = F.normalize(queries, dim=-1)
    keys, queues = F.normalize(keys.detach(), dim=-1), F.normalize(queues.detach(), dim=-1)
    spaces, count = queries.shape[:2]
    own = torch.einsum("snd,sjnd->snj", queries, keys)
    unused = torch.zeros(spaces, 1, spaces, dtype=torch.bool, device=own.device)
    unused[0, :, 1:] = True
    own = own.masked_fill(unused, -torch.inf)
    logits = torch.cat([own, queries @ queues.mT], 2) / temperature
    targets = torch.arange(spaces, device=own.device).repeat_interleave(count)
    return F.cross_entropy(logits.flatten(0, 1), targets)


REDRAWN = ("crop", "hflip")
"""Operations that every view draws anew (Xiao et al. 2021; unverified)."""


def left_out_groups(left_out: str | None, recipe: str) -> tuple[tuple[str, ...], ...]:
    """The augmentations that are left out one at a time: groups of operations.

    Args:
        left_out: groups separated by commas, the operations of a group joined with `+`, as
            `rotate,jitter+grey`; None: every operation of the recipe by itself but crop and flip,
            which all views redraw (LooC); of a recipe of nothing else, these.
        recipe: the augmentation, see `metaug.data.augment`.

    Raises:
        UserError: there is no group, or the recipe lacks an operation of one.
    """
    operations = operations_of(recipe)
    own = [name for name in operations if name not in REDRAWN] or list(operations)
    listed = own if left_out is None else left_out.split(",")
    groups = tuple(tuple(name.strip() for name in group.split("+")) for group in listed)
    if not groups:
        raise UserError(
            f"looc leaves out one augmentation at a time, but augmentation {recipe!r} has none"
        )
    for name in (name for group in groups for name in group):
        if name not in operations:
            raise UserError(
                f"looc: left_out names {name!r}, which is not in augmentation {recipe!r} "
                f"({', '.join(operations) or 'nothing'})"
            )
    if len({frozenset(group) for group in groups}) < len(groups):
        raise UserError(f"looc: left_out {left_out!r} names a group twice")
    return groups


class LooC(Method):
    """LooC with a momentum encoder and one head and queue for each space.

    Which augmentations are left out is by default every operation of the recipe but crop and flip,
    or these where there is nothing else (choice: MetAug's comparison varies the recipe and does not
    say). A step takes n + 2 forward passes for n of them, one with gradient. The representation is
    the backbone's; LooC++, the unit-norm embeddings of all spaces side by side, is a further
    read-out with the setting `features=looc_plus_plus`.

    `own` is the paper's recipe (unverified): colour and rotation left out, queue 16,384, momentum
    .999, batch 256, SGD .03; its texture augmentation is left out, its rate falls by our `step`.
    """

    name = "looc"
    version = 3
    crops = 1
    presets: ClassVar = {
        "own": {
            "augmentation": "crop+hflip+rotate+jitter+grey",
            "batch_size": 256,
            "optimizer": "sgd",
            "learning_rate": 0.03,
            "weight_decay": 1e-4,
            "schedule": "step",
            "left_out": "rotate,jitter+grey",
            "temperature": 0.2,
            "queue_size": 16384,
            "momentum_start": 0.999,
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of LooC."""

        left_out: str | None = Field(
            None,
            description="augmentations left out one at a time, as rotate,jitter+grey; none: every "
            "operation of the recipe but crop and flip, where there is another (choice)",
        )
        temperature: float = Field(0.2, gt=0, description="softmax temperature; LooC (unverified)")
        queue_size: int = Field(
            4096, ge=1, description="keys in the queue of each space (choice; LooC: 16,384)"
        )
        momentum_start: float = Field(
            0.99, ge=0, le=1, description="momentum of the key network (choice; LooC: .999)"
        )
        projector_hidden: int = Field(
            2048, ge=1, description="width of each head; LooC (unverified)"
        )
        feature_dim: int = Field(128, ge=1, description="width of an embedding; LooC (unverified)")
        bn_splits: int = Field(
            1, ge=1, description="parts of a batch with batch norm of their own; (choice)"
        )

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        check_queue(spec, hyper.queue_size)
        check_splits(spec, hyper.bn_splits)
        left_out_groups(hyper.left_out, spec.augmentation[0])

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        self.groups = left_out_groups(h.left_out, spec.augmentation[0])
        dims = (self.out_features, h.projector_hidden, h.feature_dim)
        spaces = len(self.groups) + 1
        self.heads = nn.ModuleList(mlp(dims, batch_norm=False) for _ in range(spaces))
        self.key_encoder = momentum_copy(self.encoder)
        self.key_heads = momentum_copy(self.heads)
        self.queues = nn.ModuleList(
            FeatureQueue(h.queue_size, h.feature_dim) for _ in range(spaces)
        )

    def start(self) -> None:
        ema_update(self.key_encoder, self.encoder, 0)
        ema_update(self.key_heads, self.heads, 0)

    def augment(self, images: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """The query, key 0 with all parameters drawn anew, and for each group a key that shares
        the query's parameters of that group and draws all others anew."""
        (augmentation,) = self.augmentations
        query, *keys = (
            augmentation.draw(len(images), draws(f"crop {i}")) for i in range(len(self.groups) + 2)
        )
        for key, group in zip(keys[1:], self.groups, strict=True):
            key |= {name: query[name] for name in group}
        return tuple(augmentation.apply(images, params) for params in (query, *keys))

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        query, *others = batch.crops
        splits = self.hyper.bn_splits
        hidden = encode_in_splits(self.encode, query, splits)
        queries = torch.stack([head(hidden) for head in self.heads])
        with torch.no_grad():
            ema_update(self.key_encoder, self.encoder, self.hyper.momentum_start)
            ema_update(self.key_heads, self.heads, self.hyper.momentum_start)
            encoded = torch.stack([self.encode_keys(crop, batch) for crop in others])
            keys = torch.stack([head(encoded) for head in self.key_heads])
        queues = [queue for queue in self.queues if isinstance(queue, FeatureQueue)]
        loss = looc_loss(
            queries,
            keys,
            torch.stack([queue.features for queue in queues]),
            self.hyper.temperature,
        )
        for space, queue in enumerate(queues):
            queue.enqueue(keys[space, space])
        return loss, {}

    def encode_keys(self, crop: Tensor, batch: Batch) -> Tensor:
        """Features (N, F) of a key's crops: the parts for batch norm are drawn at random, as
        MoCo's, so that a key and its query do not share their statistics."""
        return encode_shuffled(
            lambda images: encode_in_splits(
                lambda part: self.encode(part, self.key_encoder), images, self.hyper.bn_splits
            ),
            crop,
            batch.draws("shuffle"),
        )

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        readouts = super().representation(images)
        last = list(readouts)[-1]
        embeddings = [F.normalize(head(readouts[last]), dim=1) for head in self.heads]
        return readouts | {f"{last};features=looc_plus_plus": torch.cat(embeddings, 1)}
