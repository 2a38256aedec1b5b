"""CPC v2 (Hénaff et al. 2020): predict the patches below from those above, and so in four
directions."""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from metaug.data.views import VIEWS, make_views
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.models import build_encoder
from metaug.spec import Frozen, TrialSpec

GRID = 7
"""Patches in a row and in a column, each overlapping half of the next."""
POOLED = 4
"""Side of the grid that the `conv` probe reads: that of AlexNet's last map at 32 pixels."""


def cpc_loss(
    predictions: Tensor, targets: Tensor, negatives: Tensor, excluded: Tensor | None = None
) -> Tensor:
    """InfoNCE of predicted patches (Hénaff et al. 2020, Eq. 1): scores are plain dot products.

    Gradient flows through all three.

    Args:
        predictions: (M, D).
        targets: the patch that each stands for, (M, D).
        negatives: other patches, of the same and of other images, (K, D).
        excluded: (M, K) bool, negatives that are a prediction's own target; None: none is.

    Returns:
        Mean over the predictions of -log softmax, a scalar >= 0; ln(1 + K) for equal scores.
    """
    own = (predictions * targets).sum(1)
    others = predictions @ negatives.T
    if excluded is not None:
        others = others.masked_fill(excluded, -torch.inf)
    return F.softplus(others.logsumexp(1) - own).mean()


def patches(images: Tensor) -> Tensor:
    """Cut images (N, C, S, S) into a grid of patches that overlap by half, row by row:
    (N * 49, C, S / 4, S / 4).

    Raises:
        ValueError: S is no multiple of 8.
    """
    n, channels, side, _ = images.shape
    if side % 8:
        raise ValueError(f"{side} pixels do not divide into {GRID} half-overlapping patches")
    size, stride = side // 4, side // 8
    cut = images.unfold(2, size, stride).unfold(3, size, stride)  # (N, C, 7, 7, size, size)
    cut = cut.permute(0, 2, 3, 4, 5, 1).reshape(n * GRID**2, size, size, channels)
    return cut.permute(0, 3, 1, 2)


def layer_normed(network: nn.Module) -> nn.Module:
    """Replace batch norm by layer norm, in place: batch norm would tell a patch about the others
    it is to predict. Returns the network."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(1, child.num_features))
        elif isinstance(child, nn.BatchNorm1d):
            setattr(network, name, nn.LayerNorm(child.num_features))
        else:
            layer_normed(child)
    return network


class Context(nn.Module):
    """Masked residual convolutions: (N, D, 7, 7) to (N, D, 7, 7), where an output sees its own row
    and those above it (choice: two narrow blocks, four rows of sight; the original has more)."""

    def __init__(self, dim: int, blocks: int = 2) -> None:
        super().__init__()
        narrow = max(1, dim // 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(dim, narrow, 1),
                nn.ReLU(),
                nn.ZeroPad2d((1, 1, 2, 0)),
                nn.Conv2d(narrow, narrow, 3),
                nn.ReLU(),
                nn.Conv2d(narrow, dim, 1),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x.relu()


class CPCv2(Method):
    """CPC v2 with our backbone as the encoder of single patches, batch norm replaced by layer norm.

    A patch is a quarter of the side and overlaps half of the next: 7 x 7 patches, 8 pixels wide at
    32 (Lightning bolts' CIFAR setting). Rows nearer than `first_row` are not predicted, they share
    pixels. What is probed is the grid of patch vectors, pooled to 4 x 4 (`conv`) or to one vector
    (`fc`, `pool`) (choice). The losses of all rows and directions are averaged, where the formula
    sums them (choice); patches are not augmented one by one.

    There is no `own` recipe: the row that the paper quotes is of a ResNet-161 whose settings are
    (unverified), and bolts' for CIFAR asks for what a spec has not, random translations, prediction
    downwards alone and all patches of the batch as negatives.
    """

    name = "cpc_v2"
    crops = 1

    class Hyper(Frozen):
        """Hyper-parameters of CPC v2."""

        feature_dim: int = Field(64, ge=1, description="width of the patch vectors; bolts")
        first_row: int = Field(
            2, ge=1, le=6, description="nearest row that is predicted; 2 shares no pixel (choice)"
        )
        last_row: int = Field(4, ge=1, le=6, description="farthest row that is predicted (choice)")
        score_scale: float = Field(0.1, gt=0, description="factor of the predictions; bolts")
        patch_negatives: int = Field(
            128,
            ge=1,
            description="patches of the batch, of all images, that a prediction is told from "
            "(choice; rschwarz15/CPCV2-PyTorch: 16)",
        )

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        if hyper.first_row > hyper.last_row:
            raise UserError(
                f"{spec.method}: first_row {hyper.first_row} is beyond last_row {hyper.last_row}"
            )
        if spec.image_size % 8 or spec.image_size < 32:
            raise UserError(
                f"{spec.method} cuts patches of at least 8 pixels, a quarter of the side: "
                f"image_size {spec.image_size} is no multiple of 8 from 32 on"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        (view,) = spec.views
        encoder = build_encoder(spec.backbone, VIEWS[view], spec.width, spec.image_size // 4)
        self.encoders[view] = layer_normed(encoder)
        self.target = nn.Linear(self.out_features, h.feature_dim)
        self.contexts = nn.ModuleList(Context(h.feature_dim) for _ in range(4))
        self.predictors = nn.ModuleList(
            nn.ModuleList(
                nn.Conv2d(h.feature_dim, h.feature_dim, 1, bias=False)
                for _ in range(h.first_row, h.last_row + 1)
            )
            for _ in range(4)
        )

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        h = self.hyper
        n = len(batch.index)
        (view,) = self.spec.views
        with self.autocast():
            hidden = self.encoder(patches(batch.views((view,))[view]))
        vectors = self.target(hidden.float())
        place = torch.arange(len(vectors), device=vectors.device).view(n, GRID, GRID)
        drawn = torch.randint(
            len(vectors), (h.patch_negatives,), generator=batch.draws("negatives")
        )
        drawn = drawn.to(vectors.device)
        losses = []
        for turns in range(4):
            places = place.rot90(turns, (1, 2))
            context = self.contexts[turns](vectors[places].permute(0, 3, 1, 2))
            for row, predictor in enumerate(
                cast(nn.ModuleList, self.predictors[turns]), start=h.first_row
            ):
                predicted = predictor(context[:, :, :-row]).permute(0, 2, 3, 1).flatten(0, 2)
                own = places[:, row:].flatten()
                losses.append(
                    cpc_loss(
                        h.score_scale * predicted,
                        vectors[own],
                        vectors[drawn],
                        own[:, None] == drawn[None, :],
                    )
                )
        return torch.stack(losses).mean(), {}

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        (view,) = self.spec.views
        layers = self.encoder_of(view).layers(patches(make_views(images, (view,))[view]))
        readouts = {}
        for name, features in layers.items():
            maps = features.view(len(images), GRID, GRID, -1).permute(0, 3, 1, 2)
            side = POOLED if name == "conv" else 1
            readouts[name] = F.adaptive_avg_pool2d(maps, side).flatten(1)
        return readouts
