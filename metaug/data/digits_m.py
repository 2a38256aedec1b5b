"""`digits_m`: ten classes of handwritten digits in colour, made offline in about a second.

In the manner of MNIST-M (Ganin and Lempitsky, ICML 2015): a digit is blended with a random crop of
a photograph by the absolute difference of the two. Digits and photographs are those that
scikit-learn ships: 1,797 digits of 8×8 pixels with 17 grey levels, `china.jpg` and `flower.jpg`.
Enlarging, shrinking and blending use integers alone, so the same images come out everywhere where
the two photographs are decoded alike.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images

from metaug.data.arrays import balanced_subset

CLASS_NAMES = tuple(str(digit) for digit in range(10))
_ENLARGE = 4
_SIZE = 8 * _ENLARGE
_TEST_IMAGES = 500  # 50 of each class
_SHRINK = 3  # of the photographs: more of their detail falls into one crop


def make_digits_m() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Make the data set; the same to the byte every time.

    Returns:
        "train" (1,297 images) and "test" (500, fifty of each class), each with its
        images (N, 32, 32, 3) uint8 RGB and labels (N,) int64. Their order is scikit-learn's.
    """
    generator = torch.Generator().manual_seed(0)
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    images = _blend(_enlarge(digits.images.astype(np.int64)), generator)
    in_test = np.zeros(len(labels), dtype=bool)
    in_test[balanced_subset(labels, _TEST_IMAGES, generator)] = True
    return {
        "train": (images[~in_test], labels[~in_test]),
        "test": (images[in_test], labels[in_test]),
    }


def _enlarge(digits: np.ndarray) -> np.ndarray:
    """(N, 8, 8) int64 in [0, 16] -> (N, 32, 32) int64 in [0, 255], by cubic convolution.

    Keys' kernel with a = −1/2 (IEEE ASSP 1981); the centre of an enlarged pixel lies an odd number
    of eighths past that of a digit's pixel, so 1,024 times the weights are integers.
    """
    matrix = np.zeros((_SIZE, 8), dtype=np.int64)
    for row in range(_SIZE):
        left, k = divmod(2 * row + 1 - _ENLARGE, 2 * _ENLARGE)
        weights = (
            -64 * k + 16 * k**2 - k**3,
            1024 - 40 * k**2 + 3 * k**3,
            64 * k + 32 * k**2 - 3 * k**3,
            -8 * k**2 + k**3,
        )
        for tap, weight in enumerate(weights, start=left - 1):
            matrix[row, min(max(tap, 0), 7)] += weight
    enlarged = matrix @ digits @ matrix.T
    return np.clip(enlarged * 255 // (16 * 1024**2), 0, 255)


def _blend(digits: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """|crop − digit|, each of (N, 32, 32) digits with its own crop -> (N, 32, 32, 3) uint8."""
    photographs = [_shrink(np.asarray(image)) for image in load_sample_images().images]
    rows, columns, _ = photographs[0].shape
    count = len(digits)
    which = torch.randint(len(photographs), (count,), generator=generator).tolist()
    tops = torch.randint(rows - _SIZE + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(columns - _SIZE + 1, (count,), generator=generator).tolist()
    crops = np.stack(
        [
            photographs[photograph][top : top + _SIZE, left : left + _SIZE]
            for photograph, top, left in zip(which, tops, lefts, strict=True)
        ]
    )
    return np.abs(crops - digits[..., None]).astype(np.uint8)


def _shrink(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H // 3, W // 3, 3) int64: means of 3×3 pixels, rounded down."""
    rows, columns = image.shape[0] // _SHRINK, image.shape[1] // _SHRINK
    tiles = image[: rows * _SHRINK, : columns * _SHRINK].astype(np.int64)
    tiles = tiles.reshape(rows, _SHRINK, columns, _SHRINK, 3)
    return tiles.sum(axis=(1, 3)) // _SHRINK**2
