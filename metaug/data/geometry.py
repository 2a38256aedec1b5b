"""Crop, flip, quarter turn and blur of whole batches, every sample with its own parameters.

All of them are *separable resampling*: each output row is a weighted sum of a few input rows, each
output column of a few input columns. PyTorch has one fast kernel for weighted sums of rows, the
embedding bag: on a CPU thread, crops made with it took 4 ns a pixel; `grid_sample` took 7, two
batched matrix products 6 (32 px) to 30 (224 px), `interpolate` image by image 12 (32 px) to 5
(224 px).
"""

from functools import lru_cache
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
    """What the output lines of N samples are made of, sample after sample.

    Attributes:
        source: (N * S, K) int64, the input lines, counted through all samples.
        weight: (N * S, K) float32, their weights.
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
    n, lines, *rest = images.shape
    table = images.reshape(n * lines, -1).float()
    combined = F.embedding_bag(taps.source, table, mode="sum", per_sample_weights=taps.weight)
    return combined.view(n, -1, *rest)


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
    tries = np.empty((2, *area.shape), np.float32)
    np.divide(target, ratio, out=tries[0])
    np.multiply(target, ratio, out=tries[1])
    np.rint(np.sqrt(tries, out=tries), out=tries)
    fits = (tries[0] <= height) & (tries[1] <= width) & (tries.min(0) > 0)
    first = fits.argmax(1)  # 0 where none fits
    extent = tries[:, np.arange(len(area)), first].T
    image = np.array([height, width])
    free = image - extent
    corner = np.minimum(np.floor(position * (free + 1)), free)
    lost = ~fits.any(1)
    if lost.any():
        extent[lost] = _central_box(height, width)
        corner[lost] = (image - extent[lost]) // 2
    return corner.astype(np.int64), extent.astype(np.int64)


def _central_box(height: int, width: int) -> tuple[int, int]:
    low, high = CROP_RATIO
    if width / height < low:
        return round(width / low), width
    if width / height > high:
        return height, round(height * high)
    return height, width


def linear_taps(
    start: np.ndarray, length: np.ndarray, reverse: np.ndarray, lines: int, outputs: int
) -> Taps:
    """Taps of linear interpolation within a span of lines, as in `interpolate` without
    `align_corners` and without antialiasing.

    Args:
        start: (N,) int64, first line of the span.
        length: (N,) int64, number of its lines.
        reverse: (N,) bool, where the output lines come in the opposite order.
        lines: number of input lines of a sample.
        outputs: number of output lines of a sample.
    """
    sources, weights = _taps_of_every_length(lines, outputs)
    kind = length + (lines + 1) * reverse
    first = start + np.arange(0, lines * len(start), lines)
    source = (sources[kind] + first[:, None, None]).reshape(-1, 2)
    return Taps(torch.from_numpy(source), torch.from_numpy(weights[kind].reshape(-1, 2)))


@lru_cache
def _taps_of_every_length(lines: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines, from the first of the span, and weights for spans of 0 to `lines` lines, each
    (2 * (lines + 1), outputs, 2): in order, then reversed."""
    length = np.arange(lines + 1)[:, None]
    place = np.maximum((np.arange(outputs) + 0.5) * length / outputs - 0.5, 0)
    lower = place.astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(length - 1, 0))
    source = np.stack([lower, upper], 2)
    weight = np.stack([1 - (place - lower), place - lower], 2).astype(np.float32)
    return np.concatenate([source, source[:, ::-1]]), np.concatenate([weight, weight[:, ::-1]])


def gaussian_taps(sigma: Tensor, radius: int, lines: int) -> Taps:
    """Taps of a Gaussian blur with reflected borders.

    Args:
        sigma: (N,) standard deviations in pixels.
        radius: the kernel has 2 * radius + 1 taps.
        lines: number of input and of output lines of a sample, more than `radius`.
    """
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    weight = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    weight /= weight.sum(1, keepdim=True)
    source = (torch.arange(lines, device=sigma.device)[:, None] + offset).abs()
    source = (lines - 1) - (lines - 1 - source).abs()
    first = torch.arange(0, lines * len(sigma), lines, device=sigma.device)
    return Taps(
        (source + first[:, None, None]).flatten(0, 1), weight.repeat_interleave(lines, dim=0)
    )


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
        corner, extent: (N, 2) int64, boxes in pixels, as `crop_boxes` gives them: down, right.
        flip: (N,) bool.
        turns: (N,) quarter turns, in [0, 3].

    Returns:
        (N, C, size, size) float32, contiguous; uint8 values are divided by 255.
    """
    # A quarter turn is a transposition after the columns are reversed; three are one after the
    # rows are; two reverse both.
    n, channels, height, width = images.shape
    reverse_rows, reverse_columns = turns >= 2, flip ^ ((turns == 1) | (turns == 2))
    result = torch.empty((n, channels, size, size), device=images.device)
    for part in cache_sized(images):
        rows, columns = (
            linear_taps(corner[part, axis], extent[part, axis], reverse[part], lines, size)
            for axis, reverse, lines in ((0, reverse_rows, height), (1, reverse_columns, width))
        )
        if images.dtype == torch.uint8:
            rows.weight.div_(255)
        crops = resample(
            images[part],
            Taps(*(tensor.to(images.device) for tensor in rows)),
            Taps(*(tensor.to(images.device) for tensor in columns)),
        )
        result[part] = crops
        turned = np.flatnonzero(turns[part] % 2)
        if len(turned):
            index = torch.from_numpy(turned).to(images.device)
            result[part].index_copy_(0, index, crops.index_select(0, index).transpose(2, 3))
    return result
