"""MetAug (only OUCL): the unified loss on the original features of several views."""

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from metaug.algorithm.discrepancies import VIEWS
from metaug.algorithm.hyper import UnifiedHyper
from metaug.algorithm.pairs import Pair, PairScores, Rows, draw_rows
from metaug.algorithm.readouts import similarity_summaries
from metaug.data.views import make_views
from metaug.losses import (
    Form,
    contrastive_loss,
    on_cosines,
    oucl_form,
    pooled_loss,
    unified_form,
    weighted_oucl_form,
)
from metaug.memory_bank import MemoryBank
from metaug.meta import frozen_running_statistics
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import linear_head
from metaug.optimizers import build_optimizer
from metaug.spec import TrialSpec

Features = tuple[Tensor, ...]


class MetAugOUCL(Method):
    """MetAug (only OUCL): the unified loss on original features, no MAGs (paper, section 3.3)."""

    name = "metaug_oucl"
    version = 2
    default_views = VIEWS["published"]
    number_of_views = "several"
    crops = 1
    data_parallel = ("encoders", "projectors")
    # To mypy it is a nested class of the base, which no other may replace.
    Hyper: ClassVar[type[UnifiedHyper]] = UnifiedHyper  # type: ignore[assignment]

    @classmethod
    def views_of(cls, hyper: UnifiedHyper) -> tuple[str, ...]:
        """The paper's third view is RGB, the release's all of Lab."""
        return VIEWS[hyper.variant]

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        dim = self.hyper.feature_dim
        self.projectors = nn.ModuleDict(
            {view: linear_head(self.out_features, dim) for view in spec.views}
        )
        self.bank = MemoryBank(spec.views, data.images, dim, self.hyper.bank_momentum)
        self.directions: list[Pair] = list(permutations(spec.views, 2))

    def encoder_parameters(self) -> dict[str, nn.Parameter]:
        """θ and ϑ: the parameters of encoders and projection heads, by name."""
        own = ("encoders.", "projectors.")
        return {name: p for name, p in self.named_parameters() if name.startswith(own)}

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        return {"encoder": build_optimizer(self.encoder_parameters().values(), self.spec)}

    def forward(self, views: Mapping[str, Tensor]) -> Features:
        """Unit-norm features (N, D) of each view, in the order of the spec's views."""
        with self.autocast():
            hidden = [self.encoders[view](views[view]) for view in self.spec.views]
        return tuple(
            self.gather(
                F.normalize(self.projectors[view](h.to(self.projectors[view].weight.dtype)), dim=1)
            )
            for view, h in zip(self.spec.views, hidden, strict=True)
        )

    def named(self, features: Features) -> dict[str, Tensor]:
        """Features by the names of their views."""
        return dict(zip(self.spec.views, features, strict=True))

    def warm_up(self, batches: Iterable[Batch]) -> None:
        if self.hyper.bank_start == "data":
            with torch.no_grad(), frozen_running_statistics(self):
                self.bank.fill(
                    (batch.index, self.named(self(batch.views(self.spec.views))))
                    for batch in batches
                )

    def draw(self, batch: Batch, purpose: str) -> Rows:
        """The bank rows that an evaluation of the loss reads."""
        h = self.hyper
        each_image = h.negatives_per == "image"
        return draw_rows(self.bank, batch.index, h.negatives, batch.draws(purpose), each_image)

    def update_bank(self, features: Features, batch: Batch) -> None:
        """Blend the batch's features into the memory bank."""
        for view, z in self.named(features).items():
            self.bank.update(view, batch.index, z.detach())

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        features = self(batch.views(self.spec.views))
        scores = PairScores(self.named(features), self.draw(batch, "negatives"))
        self.update_bank(features, batch)
        return self.pair_loss(scores, self.directions), {}

    def form(self) -> Form:
        """The form of the unified loss, its exponents as functions of cosines."""
        h = self.hyper
        if h.loss == "oucl":
            return on_cosines(oucl_form(beta=h.beta, gamma=h.gamma))
        if h.loss == "unified":
            return on_cosines(unified_form(beta=h.beta, margin=h.margin))
        return on_cosines(weighted_oucl_form(beta=h.beta, gamma=h.gamma, decay=h.decay))

    def pair_loss(self, scores: PairScores, pairs: list[Pair]) -> Tensor:
        """Loss over pairs of anchor and target: the positives and negatives of an image are pooled
        (choice: the paper speaks of those of the mini-batch); a scalar, mean over the images."""
        h = self.hyper
        if h.loss == "contrastive":
            losses = [
                contrastive_loss(scores.positive(*pair), scores.negative(*pair), h.temperature)
                for pair in pairs
            ]
            return torch.stack(losses).sum()
        divisor = h.beta if h.prefix == "inverse_beta" else 1.0
        return pooled_loss(*scores.masses(pairs, self.form()), divisor=divisor)

    def summaries(self, images: Tensor, generator: torch.Generator) -> dict[str, dict[str, float]]:
        features = self(make_views(images, self.spec.views))
        return similarity_summaries("original", self.named(features))
