"""The preparation of a data set: every image decoded once into one uint8 array."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from metaug.data.arrays import MANIFEST
from metaug.data.datasets import DATASETS
from metaug.data.digits_m import CLASS_NAMES, make_digits_m
from metaug.data.sources import RawDataset, RawImage, RawSplit, find, from_arrays
from metaug.errors import UserError
from metaug.files import atomic_path, atomic_write_text

_BLOCK = 256  # encoded images that the decoding threads are given at a time


def prepare(
    dataset: str,
    image_size: int,
    output_folder: Path | str,
    data_root: Path | str | None,
    sources: Sequence[str] = ("parquet", "folder", "torchvision"),
    workers: int = 1,
) -> None:
    """Decode a data set into `output_folder`, for `metaug.data.arrays.open_prepared`.

    Writes `train.npy` and `test.npy`, (N, image_size, image_size, 3) uint8 RGB; `train_labels.npy`
    and `test_labels.npy`, (N,) int64; and at last `manifest.json`: without it the folder does not
    count as prepared. Images stay in the order of their source and are not kept in memory. An image
    of another size is resized so that its shorter side is `image_size` (bilinear, antialiased) and
    cropped at the centre; one of that size keeps its pixels.

    Args:
        dataset: a name out of `DATASETS`.
        image_size: side in pixels.
        output_folder: made if it is missing; what was prepared there before is replaced. Downloads
            go to `torchvision/` beside it.
        data_root: folder that holds the data sets (see `metaug.data.sources`), or None.
        sources: in the order of trying. `digits_m` needs none of them.
        workers: threads that decode. Two were 1.3 to 2 times as fast as one on photographs of
            500×375 pixels, but slower than one from 224×224 down.

    Raises:
        UserError: the data set is unknown, not found or damaged, an image is corrupt (names it), or
            writing failed.
    """
    if dataset not in DATASETS:
        raise UserError(f"unknown data set {dataset!r}: choose from {', '.join(DATASETS)}")
    if image_size < 1:
        raise UserError(f"image_size is {image_size}: it must be a positive number of pixels")
    folder = Path(output_folder)
    if dataset == "digits_m":
        raw = _digits_m()
    else:
        raw = find(DATASETS[dataset], data_root, sources, folder.parent / "torchvision")
    _clear(folder)
    files: dict[str, dict[str, Any]] = {}
    for name, split in (("train", raw.train), ("test", raw.test)):
        images = _decoded(split, image_size, workers, f"{dataset} {name}")
        shape = (len(split.labels), image_size, image_size, 3)
        files[f"{name}.npy"] = _write_array(folder / f"{name}.npy", shape, "uint8", images)
        files[f"{name}_labels.npy"] = _write_array(
            folder / f"{name}_labels.npy", split.labels.shape, "int64", [split.labels]
        )
    manifest = {
        "dataset": dataset,
        "origin": raw.origin,
        "image_size": image_size,
        "class_names": raw.class_names,
        "counts": {"train": len(raw.train.labels), "test": len(raw.test.labels)},
        "files": files,
    }
    atomic_write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _digits_m() -> RawDataset:
    train, test = (
        from_arrays(f"{name} of digits_m", images, labels)
        for name, (images, labels) in make_digits_m().items()
    )
    return RawDataset("digits_m", CLASS_NAMES, train, test)


def _clear(folder: Path) -> None:
    """From here on the folder is unprepared; remove also what a killed preparation left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for leftover in folder.glob(".*.npy.*.tmp"):
            leftover.unlink()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def _decoded(
    split: RawSplit, image_size: int, workers: int, description: str
) -> Iterator[np.ndarray]:
    """The images of a split in their order, each (image_size, image_size, 3) uint8."""

    def decode(image: RawImage) -> np.ndarray:
        return _decode(*image, image_size)

    images = iter(tqdm(split.images(), description, len(split.labels), unit="image", disable=None))
    with ThreadPoolExecutor(workers) as pool:
        spread: Callable[..., Iterable[np.ndarray]] = map if workers == 1 else pool.map
        while block := list(islice(images, _BLOCK)):
            yield from spread(decode, block)


def _decode(where: str, open_image: Callable[[], Image.Image], image_size: int) -> np.ndarray:
    try:
        with open_image() as image:
            rgb = image.convert("RGB")
    except Exception as error:  # PIL's decoders raise OSError, ValueError, SyntaxError, ...
        raise UserError(
            f"{where}: the image cannot be decoded ({type(error).__name__}): replace or remove it"
        ) from error
    if rgb.size != (image_size, image_size):
        rgb = F.center_crop(F.resize(rgb, [image_size]), [image_size, image_size])
    return np.asarray(rgb)


def _write_array(
    path: Path, shape: tuple[int, ...], dtype: str, parts: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Write the parts of an array, one behind the other; returns its entry for the manifest.

    Not through a memory map: a full disk would kill the process instead of raising an error.
    """
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    digest = hashlib.sha256()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for data in chain([header.getvalue()], (part.tobytes() for part in parts)):
            file.write(data)
            digest.update(data)
        size = file.tell()
    return {"shape": list(shape), "dtype": dtype, "bytes": size, "sha256": digest.hexdigest()}
