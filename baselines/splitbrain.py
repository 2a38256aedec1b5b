"""Split-brain autoencoder (Zhang et al. 2017): each half of the channels predicts the other."""

import itertools
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaug.data.color import rgb_to_lab
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.models.alexnet import AlexNet
from metaug.spec import Frozen, TrialSpec

AB_BINS = 313
"""Bins of the ab plane (richzhang/colorization: in-gamut points of a grid of spacing 10)."""
L_BINS = 100
"""Bins of lightness, one unit each (unverified)."""
AB_SPACING = 10


def splitbrain_loss(
    ab_logits: Tensor, l_logits: Tensor, ab_target: Tensor, l_target: Tensor
) -> Tensor:
    """Sum of the cross-entropies of both halves (Zhang et al. 2017, classification form).

    Args:
        ab_logits: predictions from L, (N, 313, H, W).
        l_logits: predictions from ab, (N, 100, H, W).
        ab_target, l_target: bins, (N, H, W) int64; see `quantize`.

    Returns:
        Mean over images and pixels (choice), a scalar >= 0; ln 313 + ln 100 for uniform
        predictions.
    """
    return F.cross_entropy(ab_logits, ab_target) + F.cross_entropy(l_logits, l_target)


@cache
def ab_bins() -> Tensor:
    """Centres of the ab bins, (313, 2) float: the points of the grid closest to the sRGB gamut.

    (choice) The published list is a file without a rule. Of these points 261 are the nearest to
    some sRGB colour.
    """
    steps = torch.linspace(0, 1, 33)
    pairs = torch.cartesian_prod(steps, steps)
    # the surface of the RGB cube: its ab values are those of the whole cube
    faces = []
    for axis, side in itertools.product(range(3), (0.0, 1.0)):
        columns = [pairs[:, 0], pairs[:, 1]]
        columns.insert(axis, torch.full((len(pairs),), side))
        faces.append(torch.stack(columns, 1))
    rgb = torch.cat(faces)
    gamut = rgb_to_lab(rgb.view(1, -1, 1, 3).permute(0, 3, 1, 2))[0, 1:, :, 0].T
    axis_points = torch.arange(-120, 121, AB_SPACING, dtype=torch.float32)
    grid = torch.cartesian_prod(axis_points, axis_points)
    nearest = torch.cdist(grid, gamut).amin(1).argsort(stable=True)[:AB_BINS]
    return grid[nearest.sort().values]


def quantize(rgb: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Targets of both halves: bins of the image, down-sampled first and then quantised.

    Args:
        rgb: (N, 3, S, S) in [0, 1].
        size: height and width of the predictions.

    Returns:
        The ab bin nearest to each pixel, and its L bin: two (N, H, W) int64.
    """
    lab = rgb_to_lab(F.adaptive_avg_pool2d(rgb, size))
    l_target = lab[:, 0].long().clamp(0, L_BINS - 1)
    ab = lab[:, 1:].permute(0, 2, 3, 1)
    distance = torch.cdist(ab.reshape(-1, 2), ab_bins().to(ab))
    return distance.argmin(1).view(ab.shape[:3]), l_target


class ColorHead(nn.Module):
    """Predict the bins of every pixel of conv5's map from that map and from fc7.

    fc7 sees the whole image: it adds the same logits at every pixel. So both read-outs of AlexNet
    are trained (choice: the original turns its fully connected layers into convolutions and
    predicts from the last).
    """

    def __init__(self, encoder: AlexNet, bins: int) -> None:
        super().__init__()
        convolution = encoder.get_submodule("stages.conv5.0")
        assert isinstance(convolution, nn.Conv2d)
        self.local = nn.Conv2d(convolution.out_channels, bins, 1)
        self.overall = nn.Linear(encoder.out_features, bins, bias=False)

    def forward(self, conv5: Tensor, fc7: Tensor) -> Tensor:
        return self.local(conv5) + self.overall(fc7)[:, :, None, None]


class SplitBrain(Method):
    """Two half-width AlexNets, one on L that predicts ab, one on ab that predicts L.

    Two networks of their own have no connection at all, where the original groups the channels of
    one. It departs from the row that the paper quotes (whose source is not known) in the network,
    the predictions' resolution (conv5's map) and the linear probe. There is no `own` recipe: no
    training code was published.
    """

    name = "splitbrain"
    default_views = ("l", "ab")
    number_of_views = "any"
    crops = 1

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Frozen) -> None:
        if set(spec.views) != {"l", "ab"}:
            raise UserError(
                f"{spec.method} predicts ab from L and L from ab: its views are [l, ab], not "
                f"{list(spec.views)}"
            )
        if spec.backbone != "alexnet":
            raise UserError(
                f"{spec.method} predicts from AlexNet's conv5 and fc7: backbone {spec.backbone} "
                "has none; use alexnet"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        bins = {"l": AB_BINS, "ab": L_BINS}
        self.heads = nn.ModuleDict(
            {view: ColorHead(self.alexnet(view), bins[view]) for view in spec.views}
        )

    def alexnet(self, view: str) -> AlexNet:
        """The network of a view."""
        encoder = self.encoder_of(view)
        assert isinstance(encoder, AlexNet)
        return encoder

    def predictions(self, view: str, images: Tensor) -> Tensor:
        """Logits (N, bins, H, W) of the other half's colours from one view of the images."""
        with self.autocast():
            found = self.alexnet(view).activations(images, "conv5", "fc7")
        return self.heads[view](found["conv5"].float(), found["fc7"].float())

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        views = batch.views(("l", "ab"))
        ab_logits, l_logits = (self.predictions(view, views[view]) for view in ("l", "ab"))
        size = (ab_logits.shape[2], ab_logits.shape[3])
        ab_target, l_target = quantize(batch.crops[0], size)
        return splitbrain_loss(ab_logits, l_logits, ab_target, l_target), {}
