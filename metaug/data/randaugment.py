"""RandAugment's operations for whole batches (Cubuk et al. 2020).

Names and magnitudes are those of `torchvision.transforms.RandAugment`, whose 31 bins are levels
0 to 30 here: `level / 30` is the strength. Differences: geometric operations interpolate linearly
and fill with the mean colour of ImageNet, as `HobbitLong/PyContrast`; samples that drew the same
operation are transformed together, the geometric ones in one go.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from metaug.data.photometric import adjust_brightness, adjust_contrast, adjust_saturation

MAX_LEVEL = 30
FILL = (0.485, 0.456, 0.406)

GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
UNSIGNED = ("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize")


def affine_matrices(names: Sequence[str], strength: Tensor, side: int) -> Tensor:
    """Matrices (N, 2, 3) from output to input coordinates, as `affine_grid` takes them.

    Args:
        names: for each sample one of the geometric operations.
        strength: (N,) in [-1, 1]: of 0.3 (shear), 150/331 of the side (translation, in whole
            pixels) or 30 degrees (rotation, counter-clockwise).
        side: of the square images, pixels.
    """
    matrices = torch.eye(2, 3).repeat(len(names), 1, 1)
    for matrix, name, value in zip(matrices, names, strength.tolist(), strict=True):
        if name == "ShearX":  # about the upper left corner
            matrix[0, 1:] = 0.3 * value
        elif name == "ShearY":
            matrix[1, 0] = matrix[1, 2] = 0.3 * value
        elif name == "TranslateX":
            matrix[0, 2] = -2 * int(150 / 331 * side * value) / side
        elif name == "TranslateY":
            matrix[1, 2] = -2 * int(150 / 331 * side * value) / side
        elif name == "Rotate":
            angle = math.radians(30 * value)
            matrix[0, 0] = matrix[1, 1] = math.cos(angle)
            matrix[0, 1], matrix[1, 0] = -math.sin(angle), math.sin(angle)
    return matrices


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Transform each image by its matrix (N, 2, 3), linearly interpolated."""
    fill = images.new_tensor(FILL)[:, None, None]
    grid = F.affine_grid(matrices.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, grid, align_corners=False).add_(fill)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Blend with a 3 x 3 smoothing, which leaves the border as it is."""
    kernel = images.new_full((3, 1, 3, 3), 1 / 13)
    kernel[:, :, 1, 1] = 5 / 13
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=3)
    return torch.lerp(smooth, images, (1 + 0.9 * strength)[:, None, None, None]).clamp_(0, 1)


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the highest 8 (strength 0) to 4 (strength 1) of the bits of each value."""
    step = 2 ** (4 * strength).round()[:, None, None, None]
    return (images * 255).round_().div_(step).floor_().mul_(step / 255)


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert what is at least 1 - strength."""
    inverted = (images >= (1 - strength)[:, None, None, None]).to(images)
    return torch.lerp(images, 1 - images, inverted)


def autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to [0, 1]; a constant one stays."""
    low = images.amin((2, 3), keepdim=True)
    span = images.amax((2, 3), keepdim=True) - low
    constant = (span == 0).to(images)
    return ((images - low * (1 - constant)) / (span + constant)).clamp_(0, 1)


def equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Equalise each channel's histogram of 256 bins."""
    shape = images.shape
    values = (images * 255).round_().long().view(shape[0] * shape[1], -1)
    histogram = torch.zeros(len(values), 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    last = histogram.gather(1, values.amax(1, keepdim=True))
    step = (values.shape[1] - last) // 255
    table = (histogram.cumsum(1) - histogram + step // 2) // step.clamp(min=1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return table.clamp_(0, 255).gather(1, values).view(shape).to(images).div_(255)


_OTHERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Identity": lambda images, strength: images,
    "Brightness": lambda images, strength: adjust_brightness(images, 1 + 0.9 * strength),
    "Color": lambda images, strength: adjust_saturation(images, 1 + 0.9 * strength),
    "Contrast": lambda images, strength: adjust_contrast(images, 1 + 0.9 * strength),
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
}

OPERATIONS = (*GEOMETRIC, *_OTHERS)
"""The 14 operations of torchvision."""

COLOR_PRESERVING = (*GEOMETRIC, "Identity", "Sharpness", "AutoContrast")
"""Those that PyContrast keeps for methods on colour views (`_RAND_TRANSFORMS_CMC`)."""


def apply_operations(images: Tensor, names: Sequence[str], strength: Tensor) -> Tensor:
    """Apply to each image one operation.

    Args:
        images: (N, 3, S, S) float in [0, 1].
        names: for each image one of `OPERATIONS`.
        strength: (N,) in [-1, 1], on the CPU; the sign counts where torchvision's magnitudes have
            one.

    Returns:
        (N, 3, S, S).
    """
    result = images.clone()
    groups: dict[str, list[int]] = {}
    for sample, name in enumerate(names):
        groups.setdefault("Warp" if name in GEOMETRIC else name, []).append(sample)
    for name, samples in groups.items():
        index = torch.tensor(samples)
        strengths = strength[index]
        index = index.to(images.device)
        chosen = images.index_select(0, index)
        if name == "Warp":
            matrices = affine_matrices([names[i] for i in samples], strengths, images.shape[-1])
            chosen = warp(chosen, matrices)
        else:
            strengths = strengths.abs() if name in UNSIGNED else strengths
            chosen = _OTHERS[name](chosen, strengths.to(images.device))
        result.index_copy_(0, index, chosen)
    return result
