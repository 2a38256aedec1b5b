"""BYOL (Grill et al. 2020): predict the embedding of a slowly moving target network."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.recipes import lightly_cifar
from metaug.data.views import VIEWS
from metaug.ema import cosine_momentum, ema_update, frozen
from metaug.method import Batch, DataShape, Method
from metaug.models import build_encoder
from metaug.models.heads import mlp
from metaug.spec import Frozen, TrialSpec


def byol_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """Squared distance of unit-norm predictions and targets (Grill et al. 2020, Eq. 2).

    ||p1 - z2||^2 + ||p2 - z1||^2 = 4 - 2 cos(p1, z2) - 2 cos(p2, z1): the two directions are
    summed. No gradient flows through the targets. Implementations that average negative cosines
    have a quarter of this gradient.

    Args:
        p1, p2: predictions of the online network for each crop, (N, D), not yet normalised.
        z1, z2: projections of the target network for each crop, (N, D), not yet normalised.

    Returns:
        Mean over the batch, a scalar in [0, 8].
    """
    cosines = F.cosine_similarity(p1, z2.detach()) + F.cosine_similarity(p2, z1.detach())
    return (4 - 2 * cosines).mean()


class BYOL(Method):
    """BYOL: the target starts from weights of its own and has batch norm statistics of its own, as
    in the reference code (deepmind-research: byol/byol_experiment.py).

    `own` is lightly's CIFAR recipe (benchmarks/cifar10): heads 1024, momentum fixed at .99 (here it
    rises to 1). lightly's loss has a quarter of our gradient, so that the same steps need a quarter
    of its rate and four times its decay.
    """

    name = "byol"
    presets = lightly_cifar(learning_rate=0.015, weight_decay=2e-3)

    class Hyper(Frozen):
        """Hyper-parameters of BYOL."""

        momentum_start: float = Field(
            0.99,
            ge=0,
            le=1,
            description="first momentum of the target, rising to 1 by a cosine; BYOL at 100 and "
            "300 epochs (.996 at 1000)",
        )
        projector_hidden: int = Field(
            1024, ge=1, description="width of the projector; lightly's CIFAR recipe (BYOL: 4096)"
        )
        predictor_hidden: int = Field(
            1024, ge=1, description="width of the predictor; lightly's CIFAR recipe (BYOL: 4096)"
        )
        feature_dim: int = Field(256, ge=1, description="width of the embedding; BYOL")

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        dims = (self.out_features, h.projector_hidden, h.feature_dim)
        self.projector = mlp(dims, last_bias=False)
        self.predictor = mlp((h.feature_dim, h.predictor_hidden, h.feature_dim), last_bias=False)
        encoder = build_encoder(spec.backbone, VIEWS[spec.views[0]], spec.width, spec.image_size)
        self.target_network = frozen(nn.Sequential(encoder, mlp(dims, last_bias=False)))

    @property
    def online_network(self) -> nn.Sequential:
        """What the target follows: encoder and projector, without the predictor."""
        return nn.Sequential(self.encoder, self.projector)

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        p1, p2 = (self.predictor(self.projector(self.encode(crop))) for crop in batch.crops)
        encoder, projector = self.target_network
        with torch.no_grad():
            z1, z2 = (projector(self.encode(crop, encoder)) for crop in batch.crops)
        spread = F.normalize(z1, dim=1).std(0).mean()
        return byol_loss(p1, p2, z1, z2), {"embedding_std": spread}

    def after_step(self, batch: Batch) -> None:
        momentum = cosine_momentum(self.hyper.momentum_start, batch.progress)
        ema_update(self.target_network, self.online_network, momentum)
