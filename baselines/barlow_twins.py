"""Barlow Twins (Zbontar et al. 2021): decorrelate the dimensions of two crops' embeddings."""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from baselines.recipes import lightly_cifar
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.spec import Frozen, TrialSpec


def barlow_twins_loss(z1: Tensor, z2: Tensor, lambda_: float) -> Tensor:
    """Distance of the cross-correlation matrix from the identity (Zbontar et al. 2021, Eq. 1).

    Each dimension is standardised over the batch, each crop by itself, with the biased variance
    plus 1e-5 (batch norm, as in facebookresearch/barlowtwins: main.py).

    Args:
        z1, z2: embeddings of the two crops, (N, D), N >= 2.
        lambda_: weight of the off-diagonal elements, >= 0.

    Returns:
        Sum over the D x D elements of the matrix, a scalar >= 0 of order D.
    """
    z1, z2 = (F.batch_norm(z, None, None, training=True) for z in (z1, z2))
    correlation = z1.T @ z2 / len(z1)
    dim = len(correlation)
    off_diagonal = correlation.flatten()[1:].view(dim - 1, dim + 1)[:, :-1]
    invariance = (1 - correlation.diagonal()).square().sum()
    return invariance + lambda_ * off_diagonal.square().sum()


class BarlowTwins(Method):
    """Barlow Twins with a smaller projector: at a batch of 64 the noise of the off-diagonal
    elements is about lambda D (D - 1) / 64.

    `own` is lightly's CIFAR recipe (benchmarks/cifar10): head 2048-2048, lambda 5e-3, loss not
    scaled.
    """

    name = "barlow_twins"
    presets = lightly_cifar(
        projector_layers=2, projector_hidden=2048, feature_dim=2048, loss_scale=1.0
    )

    class Hyper(Frozen):
        """Hyper-parameters of Barlow Twins."""

        off_diagonal_weight: float = Field(
            5e-3, ge=0, description="lambda; Barlow Twins (.0051), rounded as in lightly"
        )
        loss_scale: float = Field(
            0.05,
            gt=0,
            description="factor of the loss, of use with SGD alone; (choice) between solo-learn's "
            ".025 and .1",
        )
        projector_layers: int = Field(
            3, ge=2, description="linear layers of the projector; Barlow Twins"
        )
        projector_hidden: int = Field(
            1024, ge=1, description="width of the projector; (choice) for batch 64 (paper: 8192)"
        )
        feature_dim: int = Field(
            1024, ge=2, description="width of the embedding; (choice) for batch 64 (paper: 8192)"
        )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        hidden = [h.projector_hidden] * (h.projector_layers - 1)
        self.projector = mlp(
            (self.out_features, *hidden, h.feature_dim), hidden_bias=False, last_bias=False
        )

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = (self.projector(self.encode(crop)) for crop in batch.crops)
        loss = barlow_twins_loss(z1, z2, self.hyper.off_diagonal_weight)
        return self.hyper.loss_scale * loss, {}
