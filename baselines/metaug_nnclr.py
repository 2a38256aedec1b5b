"""MetAug* (MetAug, Table 3): a MAG and the unified loss on top of NNCLR."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn, optim
from torch.func import functional_call
from torch.nn import functional as F

from baselines.nnclr import NNCLR, NetworkHyper
from metaug.algorithm.generators import mag_movement, mag_optimizer
from metaug.algorithm.pairs import off_diagonal
from metaug.ema import ema_update, momentum_copy
from metaug.losses import margin_regularization, margins, oucl_loss, similarity
from metaug.meta import frozen_running_statistics, inner_gradient, meta_gradient
from metaug.method import Batch, DataShape
from metaug.models.generator import MAG
from metaug.optimizers import apply_gradient, build_optimizer
from metaug.spec import TrialSpec

Pair = tuple[Tensor, Tensor]


def pair_similarities(neighbours: Pair, predictions: Pair) -> Pair:
    """Similarities of every image's pairs, in [0, 1].

    Args:
        neighbours: of the two crops, (N, D) each, unit norm.
        predictions: of the two crops, (N, D) each, unit norm.

    Returns:
        Positives (N, 2), neighbours with the prediction of the own other crop; and negatives
        (N, 2N - 2), neighbours with the predictions of other images.
    """
    positives, negatives = [], []
    for anchor, other in zip(neighbours, reversed(predictions), strict=True):
        pairs = similarity(anchor @ other.T)
        positives.append(pairs.diagonal())
        negatives.append(off_diagonal(pairs))
    return torch.stack(positives, 1), torch.cat(negatives, 1)


class MetAugNNCLR(NNCLR):
    """MetAug on NNCLR.

    The paper says that the two were combined for its ImageNet result and not how. This is the
    plainest reading (choice):

    - The network is NNCLR's. A pair is a nearest neighbour of one crop's projection and a
      prediction of the other crop; an image has two positive pairs, one for each direction, and its
      negative pairs are those of its neighbours with the other images' predictions. OUCL (Eq. 10)
      takes the place of InfoNCE and pools the pairs of an image.
    - There is one encoder, hence one MAG. It augments predictions, through which NNCLR learns;
      neighbours come from the past and stay as they are.
    - As in `metaug` with the published variant: one pass over the data for the network and one for
      the MAG, which changes the MAG alone and is trained by Adam at the network's rate; the loss
      with augmented features pools original and augmented pairs, and the margins are large and
      those of the mini-batch. The look-ahead keeps the neighbours found.

    There is no `own` recipe: the paper gives none but the batch of 4096.
    """

    name = "metaug_nnclr"
    version = 2
    presets: ClassVar = {}
    passes = 2

    class Hyper(NetworkHyper):
        """Hyper-parameters of NNCLR's network and of MetAug."""

        alpha: float = Field(
            1e-11, ge=0, description="weight of the margin regularisation; released code (choice)"
        )
        beta: float = Field(
            16.0, gt=0, description="inverse temperature of OUCL; released code (choice)"
        )
        gamma: float = Field(0.40, ge=0, description="margin of OUCL; MetAug, section 4.4")
        delta: float = Field(
            1e-5, ge=0, description="weight of the loss with augmented features; MetAug, Table 5"
        )
        mag_hidden: int | None = Field(
            None,
            ge=1,
            description="width of the MAG; none: the released code's 2048 times the width of the "
            "spec",
        )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        hidden = self.hyper.mag_hidden or max(1, round(2048 * spec.width))
        self.mags = nn.ModuleDict({"prediction": MAG(self.hyper.feature_dim, hidden)})
        self.initial_mags = momentum_copy(self.mags)

    def start(self) -> None:
        ema_update(self.initial_mags, self.mags, 0)

    @property
    def mag(self) -> nn.Module:
        """The one MAG, of the predictions."""
        return self.mags["prediction"]

    @property
    def network(self) -> nn.ModuleList:
        """What the encoder's optimiser trains: everything except the MAG."""
        return nn.ModuleList([self.encoders, self.projector, self.predictor])

    def network_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters of `network`, by their name in this method."""
        own = ("encoders.", "projector.", "predictor.")
        return {n: p for n, p in self.named_parameters() if n.startswith(own)}

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        return {
            "encoder": build_optimizer(self.network_parameters().values(), self.spec),
            "mag": mag_optimizer(self.mags, "adam", None, 0.0, self.spec),
        }

    def forward(self, crops: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Unit-norm predictions and then projections of two crops, (N, D) each."""
        projections = [self.projector(self.encode(crop)) for crop in crops]
        predictions = [F.normalize(self.predictor(z), dim=1) for z in projections]
        return tuple(map(self.gather, (*predictions, *projections)))

    def objective(self, predictions: Pair, neighbours: Pair, *, regularised: bool) -> Tensor:
        """L_ori + delta L_aug (Eq. 11), plus alpha R_sigma (Eq. 5) if `regularised`; a scalar."""
        h = self.hyper
        positives, negatives = pair_similarities(neighbours, predictions)
        augmented = self.mag(predictions[0]), self.mag(predictions[1])
        hard_positives, hard_negatives = pair_similarities(neighbours, augmented)
        all_positives = torch.cat([positives, hard_positives], 1)
        all_negatives = torch.cat([negatives, hard_negatives], 1)
        loss = oucl_loss(positives, negatives, beta=h.beta, gamma=h.gamma)
        loss = loss + h.delta * oucl_loss(all_positives, all_negatives, beta=h.beta, gamma=h.gamma)
        if regularised:
            sigma = margins(positives.detach().flatten(), negatives.detach().flatten(), "large")
            loss = loss + h.alpha * margin_regularization(hard_positives, hard_negatives, *sigma)
        return loss

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        train_mag = batch.pass_index == 1
        parameters = self.network_parameters()
        with frozen_running_statistics(*([self.network] if train_mag else [])):
            p1, p2, z1, z2 = self(batch.crops)
        neighbours, agreement = self.search(z1, z2, batch.labels)
        if not train_mag:
            self.enqueue(z1, batch.labels)
        with frozen_running_statistics(self.mag):
            loss, inner = inner_gradient(
                (p1, p2),
                lambda features: self.objective(
                    (features[0], features[1]), neighbours, regularised=False
                ),
                list(parameters.values()),
                create_graph=train_mag,
                average=self.average,
            )
        if not train_mag:
            apply_gradient(self.optimizers["encoder"], inner.parameters)
            return {"loss": loss, "neighbour_label_accuracy": agreement}
        with frozen_running_statistics(self.network):
            meta = meta_gradient(
                lambda ahead: functional_call(self, dict(ahead), (batch.crops,))[:2],
                parameters,
                inner,
                lambda features: self.objective(
                    (features[0], features[1]), neighbours, regularised=True
                ),
                list(self.mag.parameters()),
                inner_learning_rate=self.optimizers["encoder"].param_groups[0]["lr"],
                average=self.average,
            )
        apply_gradient(self.optimizers["mag"], meta.total)
        moved = mag_movement(self.mags, self.initial_mags, {"prediction": p1.detach()})
        return {"meta_loss": meta.loss, "second_order_share": meta.second_order_share, **moved}
