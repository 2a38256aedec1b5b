"""The input path against the usual one: `python -m benchmarks.input_path`.

Both make the views L and ab of random crops, which CMC and MetAug train on. Ours: a batch gathered
from a prepared array, then `Augmentation` and `make_views`. The references work image by image, as
the released code of the paper does: torchvision's random resized crop and flip on PIL images,
scikit-image's `rgb2lab`, tensor, normalisation. One starts from decoded images in memory; the other
is the released code's whole road, a `DataLoader` on a folder of JPEG files (in the page cache),
which are decoded in every epoch where ours are once for all.

For each size, on one thread: views per second of CPU time (a view is a crop that has become a
normalised pair of L and ab), and the ratio over interleaved rounds.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from metaug.data.augment import Augmentation
from metaug.data.views import make_views

BATCH = 64
ROUNDS = 7
# Side of the prepared image, side of the crop, images, and how many batches of ours and of the
# reference a round takes.
CASES = ((32, 32, 2048, 64, 4), (64, 64, 1024, 16, 2), (224, 224, 256, 2, 1), (256, 224, 256, 2, 1))


def smooth_images(count: int, side: int) -> np.ndarray:
    """Blurred noise, uint8 (count, side, side, 3), which compresses about as a photograph does."""
    noise = np.random.default_rng(0).integers(0, 256, (count, side // 4, side // 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in noise])


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


def batches_of_a_folder(folder: Path, size: int) -> Iterator[Tensor]:
    """Batches of normalised Lab from a folder of images, without end."""
    images = ImageFolder(folder, reference_transform(size))
    while True:
        for batch, _ in DataLoader(images, BATCH, shuffle=True, drop_last=True):
            yield batch


def rate(batches: int, step: Callable[[], None]) -> float:
    """Views per second of CPU time; `step` makes a batch of them."""
    start = time.process_time()
    for _ in range(batches):
        step()
    return batches * BATCH / (time.process_time() - start)


def compare(
    side: int, size: int, count: int, our_batches: int, reference_batches: int, folder: Path
) -> None:
    """Print the lines for one size; `folder` is filled with its images."""
    generator = torch.Generator().manual_seed(0)
    array = smooth_images(count, side)
    (folder / "class").mkdir(parents=True)
    for i, image in enumerate(array):
        Image.fromarray(image).save(folder / "class" / f"{i}.jpg", quality=95)
    augmentation = Augmentation("cmc", size)
    transform = reference_transform(size)
    from_folder = batches_of_a_folder(folder, size)

    def rows() -> np.ndarray:
        return torch.randint(count, (BATCH,), generator=generator).numpy()

    def ours() -> None:
        images = torch.from_numpy(array[rows()]).permute(0, 3, 1, 2)
        make_views(augmentation(images, generator), ("l", "ab"))

    def decoded() -> None:
        lab = torch.stack([transform(Image.fromarray(array[row])) for row in rows()])
        lab.float().split([1, 2], dim=1)

    def files() -> None:
        next(from_folder).float().split([1, 2], dim=1)

    for step in (ours, decoded, files):
        step()
    rates = np.array(
        [
            (
                rate(our_batches, ours),
                rate(reference_batches, decoded),
                rate(reference_batches, files),
            )
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
    with TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            compare(*case, Path(folder) / str(number))


if __name__ == "__main__":
    main()
