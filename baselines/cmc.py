"""CMC (Tian et al. 2019): contrastive multiview coding with memory banks, MetAug's base method."""

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.recipes import PYCONTRAST_SGD
from metaug.losses import contrastive_loss
from metaug.memory_bank import BankStart, MemoryBank
from metaug.meta import frozen_running_statistics
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import linear_head
from metaug.spec import Frozen, TrialSpec


def cmc_loss(anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Softmax form of the CMC loss for one direction (HobbitLong/CMC: NCE/NCECriterion.py).

    Args:
        anchor: embeddings of one view, (N, D), not yet normalised.
        positive: the other view's memory bank row of each image, (N, D).
        negatives: other rows of that bank, (K, D) shared by the batch or (N, K, D).
        temperature: > 0.

    Returns:
        Mean over the batch of -log softmax, a scalar > 0; ln(K + 1) where all scores are equal.
    """
    anchor, positive, negatives = (F.normalize(t, dim=-1) for t in (anchor, positive, negatives))
    own = (anchor * positive).sum(1)
    others = (
        anchor @ negatives.T
        if negatives.ndim == 2
        else torch.einsum("nd,nkd->nk", anchor, negatives)
    )
    return contrastive_loss(own, others, temperature)


class CMC(Method):
    """CMC over the full graph of its views, softmax form.

    The views are MetAug's three (choice: the paper speaks of "the same encoders"; CMC's own two
    are `views: [l, ab]`). The softmax form is used because the NCE form fixes its normaliser at the
    first batch, a poor estimate (HobbitLong/CMC: issues) that is worse on small data sets, where
    the negatives drawn repeat.

    `own` is the recipe of HobbitLong/CMC (train_CMC.py), with its option of the softmax form; its
    rate falls after 50, 67 and 83 % of 240 epochs, ours earlier by `step`.
    """

    name = "cmc"
    default_views = ("rgb", "l", "ab")
    number_of_views = "several"
    crops = 1
    data_parallel = ("encoders", "projectors")
    presets: ClassVar = {
        "own": {
            "views": ("l", "ab"),
            "augmentation": "cmc",
            "batch_size": 128,
            **PYCONTRAST_SGD,
            "schedule": "step",
            "temperature": 0.07,
            "negatives": 16384,
            "feature_dim": 128,
            "bank_momentum": 0.5,
            "bank_start": "random",
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of CMC."""

        temperature: float = Field(0.07, gt=0, description="softmax temperature; CMC")
        negatives: int = Field(
            4096, ge=1, description="bank rows drawn; MetAug, section 4.1 (CMC's code: 16,384)"
        )
        feature_dim: int = Field(128, ge=1, description="width of the embedding; CMC")
        bank_momentum: float = Field(
            0.5, ge=0, le=1, description="share of a bank row that an update keeps; CMC"
        )
        bank_start: BankStart = "data"

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        dim = self.hyper.feature_dim
        self.projectors = nn.ModuleDict(
            {view: linear_head(self.out_features, dim) for view in spec.views}
        )
        self.bank = MemoryBank(spec.views, data.images, dim, self.hyper.bank_momentum)

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unit-norm features (N, D) of each view."""
        with self.autocast():
            hidden = {view: self.encoders[view](x) for view, x in views.items()}
        return {
            view: self.gather(F.normalize(self.projectors[view](h.float()), dim=1))
            for view, h in hidden.items()
        }

    def warm_up(self, batches: Iterable[Batch]) -> None:
        if self.hyper.bank_start == "data":
            with torch.no_grad(), frozen_running_statistics(self):
                self.bank.fill((b.index, self(b.views(self.spec.views))) for b in batches)

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        features = self(batch.views(self.spec.views))
        drawn = self.bank.draw(self.hyper.negatives, batch.draws("negatives"))
        loss = torch.stack(
            [
                self.direction_loss(
                    features[anchor],
                    self.bank.read(target, batch.index),
                    self.bank.read(target, drawn),
                )
                for anchor, target in permutations(self.spec.views, 2)
            ]
        ).sum()
        for view, z in features.items():
            self.bank.update(view, batch.index, z.detach())
        return loss, {}

    def direction_loss(self, anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        """Loss of one ordered pair of views, a scalar.

        Features have unit length already, and bank rows enter as they are, as in CMC's code.
        """
        own, others = (anchor * positive).sum(1), anchor @ negatives.T
        return contrastive_loss(own, others, self.hyper.temperature)
