"""NAT, noise as targets (Bojanowski & Joulin 2017): every image learns a random code of its own.

Codes are fixed points on the unit sphere; which image owns which is improved batch by batch.
"""

from typing import ClassVar

import scipy
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from metaug.data.views import make_views
from metaug.method import Batch, DataShape, Method
from metaug.models import build_encoder
from metaug.models.heads import linear_head
from metaug.spec import Frozen, TrialSpec


def nat_loss(features: Tensor, codes: Tensor) -> Tensor:
    """Squared distance of unit-norm features to their codes (Bojanowski & Joulin 2017, Eq. 3).

    The official code sums over the batch: its rate .01 at batch 256 is 2.56 here.

    Args:
        features: (N, D), not yet normalised.
        codes: (N, D), unit norm; no gradient flows into them.

    Returns:
        Mean over the batch of 2 - 2 cos, a scalar in [0, 4].
    """
    return (F.normalize(features, dim=1) - codes.detach()).square().sum(1).mean()


def best_assignment(features: Tensor, codes: Tensor) -> Tensor:
    """The permutation P that maximises sum_b cos(features_b, codes_P(b)) (Hungarian algorithm).

    Args:
        features, codes: (N, D), unit norm.

    Returns:
        P, (N,) int64: the place in `codes` of each feature's code.
    """
    scores = (features.detach() @ codes.T).cpu().numpy()
    _, chosen = scipy.optimize.linear_sum_assignment(scores, maximize=True)
    return torch.from_numpy(chosen).to(features.device)


def sobel(images: Tensor) -> Tensor:
    """Horizontal and vertical gradients, summed over the channels: a third of Sobel's filter and of
    its transpose (facebookresearch/noise-as-targets: alexnet.lua).

    Args:
        images: (N, C, H, W).

    Returns:
        (N, 2, H, W); borders are continued by their last pixel (choice).
    """
    kernel = images.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 3
    padded = F.pad(images.sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, torch.stack([kernel, kernel.T])[:, None])


class NAT(Method):
    """NAT with our AlexNet or ResNet on the Sobel map of RGB, a linear layer in front of the codes.

    The row that the paper quotes is the DIM authors' run with DIM's network and probe; this one
    shares backbone, crops and linear probe with all other rows.

    `own` is the recipe of facebookresearch/noise-as-targets: codes of 2048, batch 256, plain SGD at
    a constant rate; its crop is of a fixed size, and its dropout is left out.
    """

    name = "nat"
    crops = 1
    presets: ClassVar = {
        "own": {
            "augmentation": "cmc",
            "batch_size": 256,
            "optimizer": "sgd",
            "learning_rate": 2.56,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "schedule": "constant",
            "code_dim": 2048,
            "assignment_period": 3,
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of NAT."""

        code_dim: int = Field(2048, ge=2, description="width of the codes; NAT")
        assignment_period: int = Field(
            3, ge=1, description="codes are re-assigned in one epoch out of so many; NAT"
        )

    codes: Tensor
    code_of: Tensor

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        (view,) = spec.views
        self.encoders[view] = build_encoder(spec.backbone, 2, spec.width, spec.image_size)
        self.head = linear_head(self.out_features, self.hyper.code_dim)
        self.register_buffer("codes", torch.empty(data.images, self.hyper.code_dim))
        self.register_buffer("code_of", torch.arange(data.images))

    def start(self) -> None:
        self.codes.copy_(F.normalize(torch.randn(self.codes.shape), dim=1))

    def edges(self, images: Tensor) -> Tensor:
        """What the encoder sees of RGB images: (N, 2, S, S)."""
        (view,) = self.spec.views
        return sobel(make_views(images, (view,))[view])

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        with self.autocast():
            hidden = self.encoder(self.edges(batch.crops[0]))
        features = self.head(hidden.float())
        if batch.epoch % self.hyper.assignment_period == 0:
            self.reassign(F.normalize(features, dim=1), batch.index)
        loss = nat_loss(features, self.codes[self.code_of[batch.index]])
        return loss, {}

    @torch.no_grad()
    def reassign(self, features: Tensor, index: Tensor) -> None:
        """Permute the codes that the images `index` (N,) own so that they fit `features` (N, D),
        unit norm, best; the permutation is kept."""
        owned = self.code_of[index]
        self.code_of[index] = owned[best_assignment(features, self.codes[owned])]

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        return self.encoder_of(self.spec.views[0]).layers(self.edges(images))
