"""Changes of colour and light, for whole batches, every sample with its own factor.

Images are (N, 3, H, W) float in [0, 1], fastest when contiguous, and so are the results; a factor
is (N,). Each function equals its namesake in `torchvision.transforms.functional`.
"""

import torch
from torch import Tensor

from metaug.data.geometry import gaussian_taps, resample

LUMA = (0.2989, 0.587, 0.114)


def grayscale(images: Tensor) -> Tensor:
    """Luma of each pixel, (N, 1, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def to_grey(images: Tensor) -> Tensor:
    """The luma in all three channels."""
    return grayscale(images).expand(-1, 3, -1, -1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by the factor (>= 0)."""
    return (images * _per_image(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the image's mean luma by the factor (>= 0)."""
    return _blend(images, grayscale(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to the pixel's luma by the factor (>= 0)."""
    return _blend(images, grayscale(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of HSV by `shift` of a full circle, in [-0.5, 0.5]."""
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    # Which channel is the largest, as 0 and 1; arithmetic is faster than masks.
    is_red = red.clone().eq_(value)
    is_green = green.clone().eq_(value).mul_(1 - is_red)
    is_blue = 1 - is_red - is_green
    hue = (green - blue).mul_(is_red)
    hue.addcmul_(blue - red, is_green).addcmul_(red - green, is_blue)
    hue.div_(chroma.clamp(min=1e-12)).add_(is_green, alpha=2).add_(is_blue, alpha=4)
    hue.add_(_per_image(6 * shift))
    # A channel falls short of the largest by chroma * clamp(min(k, 4 - k), 0, 1), where k is the
    # distance of the hue from it, in sixths of the circle.
    return torch.cat([_channel(hue + start, value, chroma) for start in (5, 3, 1)], 1)


def _channel(k: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    k.remainder_(6)
    short = torch.minimum(k, 4 - k).clamp_(0, 1)
    return torch.addcmul(value, short, chroma, value=-1)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Gaussian blur; sigma in pixels, kernel of 2 * radius + 1, borders reflected."""
    height, width = images.shape[2:]
    rows, columns = (gaussian_taps(sigma, radius, lines) for lines in (height, width))
    return resample(images, rows, columns)


def solarize(images: Tensor) -> Tensor:
    """Invert what is at least 0.5."""
    return torch.minimum(images, 1 - images)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, _per_image(factor)).clamp_(0, 1)


def _per_image(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]
