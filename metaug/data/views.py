"""Colour views of an image: what the encoders see.

The order of things, everywhere: every augmentation works on RGB in [0, 1]; the colour conversion
comes after all of them (CMC, whose released code converts after crop and flip); the normalisation
comes last. So a view is a function of the augmented RGB image alone, and views of one crop show
the same pixels.

Normalisation is (value - mean) / std per channel:

* Lab: mid-range and half-range of the sRGB gamut, as in `HobbitLong/CMC:train_CMC.py`;
* YDbDr: mean and std of `HobbitLong/PyContrast:pycontrast/datasets/util.py`;
* RGB: mean and standard deviation of ImageNet, for every data set (choice).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from metaug.data.color import (
    LAB_FROM_BASIS,
    YDBDR_FROM_RGB,
    AffineMap,
    Basis,
    lab_basis,
    map_channels,
    rgb_basis,
)
from metaug.errors import UserError
from metaug.spec import suggestion


@dataclass(frozen=True)
class ColorSpace:
    """A colour space: the basis it is linear in, and the map to its three normalised channels."""

    basis: Basis
    channels: AffineMap


def _normalized(from_basis: AffineMap, mean: list[float], std: list[float]) -> AffineMap:
    matrix, offset = from_basis
    scale = torch.tensor(std)
    return matrix / scale[:, None], (offset - torch.tensor(mean)) / scale


RGB = ColorSpace(
    rgb_basis,
    _normalized((torch.eye(3), torch.zeros(3)), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
)
LAB = ColorSpace(
    lab_basis, _normalized(LAB_FROM_BASIS, [50.0, 6.025, -6.6895], [50.0, 92.208, 101.1675])
)
YDBDR = ColorSpace(
    rgb_basis, _normalized(YDBDR_FROM_RGB, [0.457, -0.082, -0.052], [0.500, 1.331, 1.333])
)

SOURCES = {
    "rgb": (RGB, slice(0, 3)),
    "l": (LAB, slice(0, 1)),
    "ab": (LAB, slice(1, 3)),
    "lab": (LAB, slice(0, 3)),
    "y": (YDBDR, slice(0, 1)),
    "dbdr": (YDBDR, slice(1, 3)),
}
"""View: its colour space and the channels of it."""

VIEWS: dict[str, int] = {name: part.stop - part.start for name, (_, part) in SOURCES.items()}
"""View: its number of channels."""


def make_views(rgb: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Normalised colour views of augmented images (order of operations: see this module).

    Args:
        rgb: (N, 3, H, W) float in [0, 1]; contiguous is fastest.
        names: keys of `VIEWS`. Each colour space is computed once, however many views it has.

    Returns:
        For each name (N, VIEWS[name], H, W), in the order of `names`, channels-last (a
        channels-last network trained a fifth faster on a CPU). Lab and YDbDr channels are mostly
        within [-1, 1], RGB within [-2.2, 2.7].

    Raises:
        UserError: a name is not a view.
    """
    wanted = tuple(names)
    views: dict[str, Tensor] = {}
    for basis, affine_map, own in _plan(wanted):
        channels = [VIEWS[name] for name in own]
        tensors = map_channels(rgb, basis, affine_map, channels, torch.channels_last)
        views.update(zip(own, tensors, strict=True))
    return {name: views[name] for name in wanted}


@cache
def _plan(names: tuple[str, ...]) -> list[tuple[Basis, AffineMap, list[str]]]:
    """For each colour space that is needed its basis, the map to all channels, and the views."""
    for name in names:
        if name not in VIEWS:
            raise UserError(f"unknown view {name!r}: {suggestion(name, VIEWS)}")
    plan = []
    for space in (RGB, LAB, YDBDR):
        own = [name for name in names if SOURCES[name][0] is space]
        if own:
            matrix, offset = (
                torch.cat([part[SOURCES[name][1]] for name in own]) for part in space.channels
            )
            plan.append((space.basis, (matrix, offset), own))
    return plan
