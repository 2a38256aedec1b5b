"""RGB to CIE Lab and to YDbDr, for whole batches.

Both conversions are a matrix applied to a *basis* of three planes: for YDbDr the RGB values
themselves, for Lab the compressed tristimulus values f(X/Xn), f(Y/Yn), f(Z/Zn). The constants are
those of scikit-image (`skimage/color/colorconv.py`): sRGB primaries, white point D65, 2° observer.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

Basis = Callable[[Tensor], Tensor]
AffineMap = tuple[Tensor, Tensor]

SRGB_KNEE = 0.04045
LAB_KNEE = 0.008856
LAB_SLOPE = 7.787
# What the curves of `lab_basis` leave out to save passes over the pixels: a factor of the first,
# an offset of each.
SRGB_FACTOR = 1.055**-2.4
SRGB_OFFSET = -SRGB_KNEE / 12.92
LAB_OFFSET = -LAB_SLOPE * LAB_KNEE

_XYZ_FROM_LINEAR = torch.tensor(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
    dtype=torch.float64,
) / torch.tensor([[0.95047], [1.0], [1.08883]], dtype=torch.float64)
XYZ_FROM_CURVE: AffineMap = (
    (SRGB_FACTOR * _XYZ_FROM_LINEAR).float(),
    (SRGB_OFFSET * _XYZ_FROM_LINEAR.sum(1)).float(),
)
LAB_FROM_BASIS: AffineMap = (
    torch.tensor([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]]),
    torch.tensor([116.0 * LAB_OFFSET - 16.0, 0.0, 0.0]),
)
YDBDR_FROM_RGB: AffineMap = (
    torch.tensor([[0.299, 0.587, 0.114], [-0.450, -0.883, 1.333], [-1.333, 1.116, 0.217]]),
    torch.zeros(3),
)

CACHED_PIXELS = 1 << 16
"""Pixels of one pass on a CPU: three float32 planes of them stay near the core."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE Lab of sRGB images.

    Args:
        rgb: (N, 3, H, W) float in [0, 1].

    Returns:
        (N, 3, H, W) in the memory format of `rgb`: L in [0, 100], a in [-86.2, 98.3] and
        b in [-107.9, 94.5]. Within 1e-3 of `skimage.color.rgb2lab`. No gradient flows through it.
    """
    return map_channels(rgb, lab_basis, LAB_FROM_BASIS, [3], _memory_format(rgb))[0]


def rgb_to_ydbdr(rgb: Tensor) -> Tensor:
    """YDbDr (the colour space of SECAM) of RGB images.

    Args:
        rgb: (N, 3, H, W) float in [0, 1].

    Returns:
        (N, 3, H, W) in the memory format of `rgb`: Y in [0, 1], Db and Dr in [-1.333, 1.333].
        Within 1e-3 of `skimage.color.rgb2ydbdr`. No gradient flows through it.
    """
    return map_channels(rgb, rgb_basis, YDBDR_FROM_RGB, [3], _memory_format(rgb))[0]


def rgb_basis(planes: Tensor) -> Tensor:
    """The RGB planes themselves, (N, 3, P)."""
    return planes


def lab_basis(planes: Tensor) -> Tensor:
    """f(X/Xn), f(Y/Yn), f(Z/Zn) less `LAB_OFFSET`, of sRGB planes (N, 3, P).

    sRGB's curve and f are a power above a knee and a straight line below it. Either is computed
    as power(max(x, knee)) + slope * min(x, knee) + offset, without a mask: to select by a mask
    would cost more than all the arithmetic here.
    """
    curve = _power_(planes.clamp(min=SRGB_KNEE).add_(0.055), 2.4)
    curve.add_(planes.clamp(max=SRGB_KNEE), alpha=1 / 12.92 / SRGB_FACTOR)
    xyz = _affine(curve, XYZ_FROM_CURVE)
    roots = _power_(xyz.clamp(min=LAB_KNEE), 1 / 3)
    return roots.add_(xyz.clamp_(max=LAB_KNEE), alpha=LAB_SLOPE)


@torch.no_grad()
def map_channels(
    rgb: Tensor,
    basis: Basis,
    affine_map: AffineMap,
    channels: Sequence[int],
    layout: torch.memory_format,
) -> list[Tensor]:
    """Apply an affine map to a basis of images and split the result.

    Args:
        rgb: (N, 3, H, W) float in [0, 1]; contiguous is fastest.
        basis: from planes (N, 3, P) to planes (N, 3, P).
        affine_map: matrix (C, 3) and offset (C,).
        channels: numbers of channels of the results; their sum is C.
        layout: memory format of the results.

    Returns:
        The channels of `matrix @ basis + offset` in groups, each (N, group, H, W).
    """
    n, _, height, width = rgb.shape
    results = [
        torch.empty(
            (n, count, height, width), dtype=rgb.dtype, device=rgb.device, memory_format=layout
        )
        for count in channels
    ]
    # Encoders run under autocast, but in bfloat16 a colour would keep eight bits.
    with torch.autocast(rgb.device.type, enabled=False):
        for part in cache_sized(rgb):
            planes = basis(rgb[part].contiguous().view(-1, 3, height * width))
            mapped = _affine(planes, affine_map).view(len(planes), -1, height, width)
            for result, values in zip(results, mapped.split(channels, dim=1), strict=True):
                result[part] = values
    return results


def cache_sized(images: Tensor) -> Iterator[slice]:
    """Cut a batch (N, C, H, W) into slices that a CPU core's cache holds; elsewhere not at all."""
    n, _, height, width = images.shape
    step = n
    if images.device.type == "cpu":
        step = max(1, CACHED_PIXELS // (height * width))
    for start in range(0, n, max(step, 1)):
        yield slice(start, min(start + step, n))


def _memory_format(images: Tensor) -> torch.memory_format:
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _affine(planes: Tensor, affine_map: AffineMap) -> Tensor:
    matrix, offset = (part.to(planes) for part in affine_map)
    return torch.baddbmm(offset[:, None], matrix.expand(len(planes), -1, -1), planes)


def _power_(values: Tensor, exponent: float) -> Tensor:
    """`values ** exponent` in place, for positive values; three times faster than `pow`.

    On a CPU the logarithm is NumPy's, whose float32 kernel took 0.41 ns a value, PyTorch's 1.06.
    """
    if values.device.type == "cpu":
        array = values.numpy()
        np.log(array, out=array)
    else:
        values.log_()
    return values.mul_(exponent / math.log(2)).exp2_()
