"""SimSiam (Chen & He 2021): two crops, one network, a predictor and a stop-gradient."""

from pydantic import Field
from torch import Tensor, cosine_similarity, nn, optim

from baselines.recipes import PYCONTRAST_SGD, lightly_cifar
from metaug.method import Batch, DataShape, Method
from metaug.models.heads import mlp
from metaug.optimizers import build_optimizer
from metaug.spec import Frozen, TrialSpec


def simsiam_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """Mean negative cosine in [-1, 1] of predictions p and projections z, each (N, D) and not yet
    normalised; no gradient through z (Chen & He 2021, Eq. 4)."""
    cosines = cosine_similarity(p1, z2.detach()) + cosine_similarity(p2, z1.detach())
    return -cosines.mean() / 2


class SimSiam(Method):
    """SimSiam by SGD (its authors' optimiser, the comparison's rate); its predictor's rate stays
    constant (facebookresearch/simsiam). `own` is lightly's CIFAR recipe: projector of 2 layers."""

    name = "simsiam"
    defaults = PYCONTRAST_SGD
    presets = lightly_cifar(projector_layers=2)

    class Hyper(Frozen):
        """Hyper-parameters of SimSiam."""

        projector_layers: int = Field(3, ge=2, description="layers of the projector; SimSiam")
        projector_hidden: int = Field(2048, ge=1, description="width of the projector; SimSiam")
        predictor_hidden: int = Field(512, ge=1, description="width of the predictor; SimSiam")
        feature_dim: int = Field(2048, ge=1, description="width of the embedding; SimSiam")

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        dims = (self.out_features, *[h.projector_hidden] * (h.projector_layers - 1), h.feature_dim)
        self.projector = mlp(
            dims, hidden_bias=False, last_bias=False, last_batch_norm=True, last_affine=False
        )
        self.predictor = mlp((dims[-1], h.predictor_hidden, dims[-1]), hidden_bias=False)

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        learned = [*self.encoder.parameters(), *self.projector.parameters()]
        optimizer = build_optimizer(learned, self.spec)
        constant = {"base_lr": self.spec.learning_rate, "scheduled": False}
        optimizer.add_param_group({"params": self.predictor.parameters(), **constant})
        return {"encoder": optimizer}

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        z1, z2 = (self.projector(self.encode(crop)) for crop in batch.crops)
        loss = simsiam_loss(self.predictor(z1), self.predictor(z2), z1, z2)
        return loss, {"embedding_std": nn.functional.normalize(z1.detach(), dim=1).std(0).mean()}
