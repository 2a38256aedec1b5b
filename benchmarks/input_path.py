"""The input path against the usual one: `python -m benchmarks.input_path`.

Both make the views L and ab of random crops, which CMC and MetAug train on. Ours: a batch gathered
from a prepared array, then `Augmentation` and `make_views`. The reference works image by image, as
the released code of the paper does: torchvision's random resized crop and flip on PIL images,
scikit-image's `rgb2lab`, tensor, normalisation. It is timed twice: from decoded images in memory,
and from JPEG files in memory, since the released code decodes in every epoch and ours once for all.

For each size, on one thread: views per second of CPU time (a view is a crop that has become a
normalised pair of L and ab), and the ratio over interleaved rounds.
"""

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor
from torchvision import transforms

from metaug.data.augment import Augmentation
from metaug.data.views import make_views

BATCH = 64
ROUNDS = 7
# Side of the prepared image, side of the crop, images, and how many views of ours and of the
# reference a round takes.
CASES = (
    (32, 32, 4096, 64 * BATCH, 4 * BATCH),
    (64, 64, 1024, 16 * BATCH, 2 * BATCH),
    (224, 224, 256, 2 * BATCH, BATCH),
    (256, 224, 256, 2 * BATCH, BATCH),
)


def smooth_images(count: int, side: int) -> np.ndarray:
    """Blurred noise, uint8 (count, side, side, 3), which compresses about as a photograph does."""
    noise = np.random.default_rng(0).integers(0, 256, (count, side // 4, side // 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in noise])


def jpeg(image: np.ndarray) -> bytes:
    """The image as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def reference_transform(size: int) -> Callable[[Image.Image], Tensor]:
    """Per-image pipeline: PIL image to normalised Lab (3, size, size)."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            lambda image: rgb2lab(np.asarray(image, np.uint8)),
            transforms.ToTensor(),
            transforms.Normalize((50, 6.025, -6.6895), (50, 92.208, 101.1675)),
        ]
    )


def rate(step: Callable[[], None], views: int) -> float:
    """Views per second of CPU time; `step` makes a batch of them."""
    start = time.process_time()
    for _ in range(views // BATCH):
        step()
    return views / (time.process_time() - start)


def compare(side: int, size: int, count: int, our_views: int, reference_views: int) -> None:
    """Print the lines for one size."""
    generator = torch.Generator().manual_seed(0)
    array = smooth_images(count, side)
    files = [jpeg(image) for image in array]
    augmentation = Augmentation("cmc", size)
    transform = reference_transform(size)

    def rows() -> np.ndarray:
        return torch.randint(count, (BATCH,), generator=generator).numpy()

    def ours() -> None:
        images = torch.from_numpy(array[rows()]).permute(0, 3, 1, 2)
        make_views(augmentation(images, generator), ("l", "ab"))

    def decoded() -> None:
        batch([Image.fromarray(array[row]) for row in rows()])

    def encoded() -> None:
        batch([Image.open(io.BytesIO(files[row])).convert("RGB") for row in rows()])

    def batch(images: list[Image.Image]) -> tuple[Tensor, ...]:
        lab = torch.stack([transform(image) for image in images]).float()
        return lab.split([1, 2], dim=1)

    for step in (ours, decoded, encoded):
        step()
    rates = np.array(
        [
            (rate(ours, our_views), rate(decoded, reference_views), rate(encoded, reference_views))
            for _ in range(ROUNDS)
        ]
    )
    print(f"input path, {side} px to crops of {size} px: {np.median(rates[:, 0]):,.0f} views/s")
    for column, name in ((1, "decoded images"), (2, "JPEG files")):
        ratios = rates[:, 0] / rates[:, column]
        print(
            f"  per-image reference from {name:14}: {np.median(rates[:, column]):6,.0f} views/s; "
            f"ratio {np.median(ratios):.1f} (median of {ROUNDS} rounds, "
            f"{ratios.min():.1f} to {ratios.max():.1f})",
            flush=True,
        )


def main() -> None:
    """Compare at every size."""
    torch.set_num_threads(1)
    for case in CASES:
        compare(*case)


if __name__ == "__main__":
    main()
