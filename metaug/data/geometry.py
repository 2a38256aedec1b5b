"""Crop, flip, quarter turn and blur of whole batches, every sample with its own parameters.

All of them are *separable resampling*: each output row is a weighted sum of a few input rows, each
output column of a few input columns. PyTorch has one fast kernel for weighted sums of rows, the
embedding bag: on a CPU thread, crops made with it took 4 ns a pixel; `grid_sample` took 7, two
batched matrix products 6 (32 px) to 30 (224 px), `interpolate` image by image 12 (32 px) to 5
(224 px).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metaug.data.color import cache_sized

CROP_TRIES = 10
CROP_RATIO = (3 / 4, 4 / 3)
"""Range of width / height of a random crop."""

# glibc hands large freed blocks back to the kernel, and the page faults of the next ones took two
# to five times as long as the arithmetic here. It keeps blocks up to the size of the largest one
# that it has handed back (mallopt(3), M_MMAP_THRESHOLD), so it is given one, never touched.
torch.empty(31 << 20, dtype=torch.uint8)


class Taps(NamedTuple):
    """What each of S output lines of N samples is made of.

    Attributes:
        source: (N, S, K) int64, the input lines.
        weight: (N, S, K) float32, their weights.
    """

    source: Tensor
    weight: Tensor


def resample(images: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Separable resampling.

    Args:
        images: (N, C, H, W) uint8 or float; channels-last memory is fastest.
        rows: taps of the S output rows into the H input rows.
        columns: taps of the T output columns into the W input columns.

    Returns:
        (N, C, S, T) float32 view of a buffer in (N, T, C, S) order; values keep their scale.
    """
    lines = images.permute(0, 2, 3, 1)  # (N, H, W, C)
    lines = _combine_lines(lines, rows)  # (N, S, W, C)
    lines = _combine_lines(lines.permute(0, 2, 3, 1), columns)  # (N, T, C, S)
    return lines.permute(0, 2, 3, 1)


def _combine_lines(images: Tensor, taps: Taps) -> Tensor:
    n, lines = images.shape[:2]
    _, outputs, count = taps.source.shape
    table = images.reshape(n * lines, -1).float()
    first = torch.arange(0, n * lines, lines, device=images.device)[:, None, None]
    combined = F.embedding_bag(
        (taps.source + first).view(-1, count),
        table,
        mode="sum",
        per_sample_weights=taps.weight.view(-1, count),
    )
    return combined.view(n, outputs, *images.shape[2:])


def crop_boxes(
    area: np.ndarray, ratio: np.ndarray, position: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of torchvision's `RandomResizedCrop.get_params`, from its random numbers.

    The first of the tries that fits into the image is taken; if none does, the largest central box
    within the range of ratios.

    Args:
        area: (N, tries), share of the image's area.
        ratio: (N, tries), width / height.
        position: (N, 2) in [0, 1), where among its possible places the box is: down, right.
        height, width: size of the images.

    Returns:
        Corner (N, 2) and extent (N, 2) of the boxes in whole pixels: down, right.
    """
    target = area * np.float32(height * width)
    tries = np.rint(np.sqrt(np.stack([target / ratio, target * ratio], 2)))
    image = np.array([height, width])
    fits = ((tries > 0) & (tries <= image)).all(2)
    first = fits.argmax(1)  # 0 where none fits
    extent = tries[np.arange(len(tries)), first]
    free = image - extent
    corner = np.minimum(np.floor(position * (free + 1)), free)
    lost = ~fits.any(1)
    if lost.any():
        extent[lost] = _central_box(height, width)
        corner[lost] = (image - extent[lost]) // 2
    return corner, extent


def _central_box(height: int, width: int) -> tuple[int, int]:
    low, high = CROP_RATIO
    if width / height < low:
        return round(width / low), width
    if width / height > high:
        return height, round(height * high)
    return height, width


def linear_taps(start: np.ndarray, length: np.ndarray, reverse: np.ndarray, outputs: int) -> Taps:
    """Taps of linear interpolation within a span of lines, as in `interpolate` without
    `align_corners` and without antialiasing.

    Args:
        start: (N,) first line of the span.
        length: (N,) number of its lines.
        reverse: (N,) bool, where the output lines come in the opposite order.
        outputs: number of output lines.
    """
    step = length / outputs
    first = np.where(reverse, length - 0.5 * step, 0.5 * step) - 0.5
    step = np.where(reverse, -step, step)
    place = np.maximum(first[:, None] + step[:, None] * np.arange(outputs), 0)
    source = np.empty((*place.shape, 2), np.int64)
    weight = np.empty((*place.shape, 2), np.float32)
    source[..., 0] = place
    weight[..., 1] = place - source[..., 0]
    weight[..., 0] = 1 - weight[..., 1]
    source[..., 1] = np.minimum(source[..., 0] + 1, length[:, None] - 1)
    source += start.astype(np.int64)[:, None, None]
    return Taps(torch.from_numpy(source), torch.from_numpy(weight))


def gaussian_taps(sigma: Tensor, radius: int, lines: int) -> Taps:
    """Taps of a Gaussian blur with reflected borders.

    Args:
        sigma: (N,) standard deviations in pixels.
        radius: the kernel has 2 * radius + 1 taps.
        lines: number of lines, more than `radius`.
    """
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    weight = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    weight /= weight.sum(1, keepdim=True)
    index = (torch.arange(lines, device=sigma.device)[:, None] + offset).abs()
    index = (lines - 1) - (lines - 1 - index).abs()
    n = len(sigma)
    return Taps(index.expand(n, -1, -1), weight[:, None].expand(-1, lines, -1).contiguous())


def crop_flip_rotate(
    images: Tensor,
    size: int,
    corner: np.ndarray,
    extent: np.ndarray,
    flip: np.ndarray,
    turns: np.ndarray,
) -> Tensor:
    """Crop, resize, flip left to right, then turn counter-clockwise, in one resampling.

    The interpolation is linear between the four nearest pixels of the box, without antialiasing:
    where a box is larger than `size`, pixels in between are skipped.

    Args:
        images: (N, C, H, W) uint8 or float.
        size: side of the result.
        corner, extent: (N, 2) boxes in pixels, as `crop_boxes` gives them: down, right.
        flip: (N,) bool.
        turns: (N,) quarter turns, in [0, 3].

    Returns:
        (N, C, size, size) float32, contiguous; uint8 values are divided by 255.
    """
    # A quarter turn is a transposition after the columns are reversed; three are one after the
    # rows are; two reverse both.
    n = len(images)
    reverse = np.concatenate([turns >= 2, flip ^ ((turns == 1) | (turns == 2))])
    source, weight = linear_taps(corner.T.reshape(-1), extent.T.reshape(-1), reverse, size)
    if images.dtype == torch.uint8:
        weight[:n] /= 255
    source, weight = source.to(images.device), weight.to(images.device)
    result = torch.empty((n, images.shape[1], size, size), device=images.device)
    for part in cache_sized(images):
        rows = Taps(source[:n][part], weight[:n][part])
        columns = Taps(source[n:][part], weight[n:][part])
        crops = resample(images[part], rows, columns)
        result[part] = crops
        turned = np.flatnonzero(turns[part] % 2)
        if len(turned):
            index = torch.from_numpy(turned).to(images.device)
            result[part].index_copy_(0, index, crops.index_select(0, index).transpose(2, 3))
    return result
