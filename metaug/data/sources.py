"""Where the images of a data set come from, and in which layouts they are understood.

Each source looks in `data_root`, in the folders that `metaug.data.datasets` names:

* `parquet`: `<folder>/<split>.parquet`, or shards `<folder>/<split>-00000-of-00004.parquet`, in the
  Hugging Face image convention: columns `image` (struct of `bytes`, the encoded file, and `path`)
  and `label` (integer); class names in the schema metadata, as a JSON list under `class_names` or
  as the label's names under `huggingface`.
* `folder`: `<folder>/<split>/<class>/*.{jpg,jpeg,png}`, sub-folders included; classes are numbered
  in the order of their names. The test split may be as Tiny ImageNet has it: `val/images/` with
  the classes in `val/val_annotations.txt`.
* `torchvision`: `cifar10`, `cifar100` and `stl10` as torchvision keeps them, in `data_root` itself
  or else downloaded. (torchvision unpickles CIFAR; it checks the MD5 of the files first.)

The training split is called `train`; `Dataset.test_splits` are the names tried for the other.
"""

import fcntl
import http.client
import io
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torchvision.datasets
from PIL import Image

from metaug.data.datasets import Dataset
from metaug.errors import UserError

RawImage = tuple[str, Callable[[], Image.Image]]
"""Where an image is (for error messages), and a function that opens it."""

_BATCH = 64  # rows of a Parquet file held at a time, beside the pages they are in
_NETWORK_TIMEOUT = 15.0  # seconds without an answer; torchvision itself would wait for ever
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class RawSplit:
    """Labels (N,) int64, and a function that goes through the N images in the same order."""

    labels: np.ndarray
    images: Callable[[], Iterator[RawImage]]


@dataclass(frozen=True)
class RawDataset:
    """A data set before its images are decoded; `origin` says where it is."""

    origin: str
    class_names: tuple[str, ...]
    train: RawSplit
    test: RawSplit


class _NotHere(Exception):
    """A source does not have the data set, and why; the next source is tried."""


def find(
    dataset: Dataset, data_root: Path | str | None, sources: Sequence[str], cache: Path | str
) -> RawDataset:
    """Find a data set in the first of `sources` that has it; no image is read yet.

    Args:
        dataset: what to look for.
        data_root: the folder that holds the data sets, if there is one.
        sources: names out of `parquet`, `folder`, `torchvision`, in the order of trying.
        cache: folder for what torchvision downloads.

    Raises:
        UserError: no source has it (names each place and what is wrong there), or the first that
            has it is damaged: truncated, without labels or class names, fewer than two classes,
            a class without images, other classes in `test` than in `train`.
    """
    root = None if data_root is None else Path(data_root)
    reasons: dict[str, list[str]] = {}
    for source in sources:
        if source not in _SOURCES:
            raise UserError(f"unknown data source {source!r}: choose from {', '.join(_SOURCES)}")
        try:
            return _SOURCES[source](dataset, root, Path(cache))
        except _NotHere as reason:
            reasons.setdefault(str(reason), []).append(source)
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    tried = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    raise UserError(
        f"data set {dataset.name} not found ({tried}): set data_root in config/config.yaml or "
        f"METAUG_DATA_ROOT to the folder that holds {dataset.folders[0]}/"
    )


def from_arrays(origin: str, images: np.ndarray, labels: np.ndarray) -> RawSplit:
    """A split from images (N, H, W, 3) uint8 RGB and labels (N,) in memory."""

    def each() -> Iterator[RawImage]:
        for index, image in enumerate(images):
            yield f"{origin}, image {index}", partial(Image.fromarray, image)

    return RawSplit(labels.astype(np.int64), each)


def _from_parquet(dataset: Dataset, root: Path | None, cache: Path) -> RawDataset:
    folders = _folders(dataset, root)
    folder = next((folder for folder in folders if _shards(folder, "train")), None)
    if folder is None:
        raise _NotHere(f"no train.parquet in {_listing(folders)}")
    test = next((name for name in dataset.test_splits if _shards(folder, name)), None)
    if test is None:
        raise UserError(f"{folder} has train.parquet but no {dataset.test_splits[0]}.parquet")
    train_names, train_split = _parquet_split(_shards(folder, "train"))
    test_names, test_split = _parquet_split(_shards(folder, test))
    if train_names != test_names:
        raise UserError(f"the class names of train and {test} in {folder} differ")
    for name, split in (("train", train_split), (test, test_split)):
        _check_classes(f"{name} of {folder}", dataset, train_names, split.labels)
    return RawDataset(f"parquet {folder}", train_names, train_split, test_split)


def _shards(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split, none if it is not there."""
    whole = folder / f"{split}.parquet"
    if whole.is_file():
        return [whole]
    found = sorted(folder.glob(f"{split}-[0-9]*-of-[0-9]*.parquet"))
    if not found:
        return []
    total = int(found[-1].stem.rpartition("-")[2])
    shards = [folder / f"{split}-{shard:05d}-of-{total:05d}.parquet" for shard in range(total)]
    for shard in shards:
        if shard not in found:
            raise UserError(f"{shard} is missing, {len(found)} other shards are there: get it too")
    return shards


def _parquet_split(files: list[Path]) -> tuple[tuple[str, ...], RawSplit]:
    names, labels = zip(*(_parquet_labels(file) for file in files), strict=True)
    if len(set(names)) > 1:
        raise UserError(f"the class names of {files[0]} and its other shards differ")
    return names[0], RawSplit(np.concatenate(labels), partial(_parquet_images, files))


def _parquet_labels(file: Path) -> tuple[tuple[str, ...], np.ndarray]:
    with _reading(file), pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        fields = {field.name: field.type for field in schema}
        for column in ("image", "label"):
            if column not in fields:
                raise UserError(f"{file} has no column {column!r}: it has {', '.join(fields)}")
        image = fields["image"]
        if not (pa.types.is_struct(image) and image.get_field_index("bytes") >= 0):
            raise UserError(f"column 'image' of {file} is {image}: it must be a struct with bytes")
        if not pa.types.is_integer(fields["label"]):
            raise UserError(f"column 'label' of {file} is {fields['label']}: it must be an integer")
        column = parquet.read(["label"]).column("label")
    names = _parquet_class_names(file, schema.metadata or {})
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UserError(f"{file}, row {row}: the label is missing")
    labels = column.to_numpy().astype(np.int64)
    outside = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(outside):
        raise UserError(
            f"{file}, row {outside[0]}: label {labels[outside[0]]} is not one of the "
            f"{len(names)} classes, 0 to {len(names) - 1}"
        )
    return names, labels


def _parquet_class_names(file: Path, metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    try:
        if b"class_names" in metadata:
            return tuple(json.loads(metadata[b"class_names"]))
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(features["label"]["names"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} has no class names: its schema metadata needs class_names, a JSON list, or "
            "huggingface with a ClassLabel for the column label"
        ) from error


def _parquet_images(files: list[Path]) -> Iterator[RawImage]:
    for file in files:
        row = 0
        with _reading(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=["image.bytes"]):
                for encoded in batch.column("image").field("bytes"):
                    yield f"{file}, row {row}", partial(_open_encoded, encoded.as_py())
                    row += 1


def _open_encoded(encoded: bytes | None) -> Image.Image:
    return Image.open(io.BytesIO(encoded or b""))


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"cannot read {file}, it is cut short or no Parquet file: get it again ({reason})"
        ) from error


def _from_folder(dataset: Dataset, root: Path | None, cache: Path) -> RawDataset:
    folders = _folders(dataset, root)
    folder = next((folder for folder in folders if (folder / "train").is_dir()), None)
    if folder is None:
        raise _NotHere(f"no train/ in {_listing(folders)}")
    test = next((name for name in dataset.test_splits if (folder / name).is_dir()), None)
    if test is None:
        raise UserError(f"{folder} has train/ but no {dataset.test_splits[0]}/")
    names = _class_folders(folder / "train")
    annotations = folder / test / "val_annotations.txt"
    if annotations.is_file():
        test_split = _annotated_split(annotations, names)
    else:
        test_names = _class_folders(folder / test)
        if different := sorted(set(names) ^ set(test_names)):
            raise UserError(
                f"{folder}/train and {folder}/{test} have different classes: "
                f"{different[0]} is in one of them only"
            )
        test_split = _folder_split(folder / test, names)
    train_split = _folder_split(folder / "train", names)
    for name, split in (("train", train_split), (test, test_split)):
        _check_classes(f"{folder / name}", dataset, names, split.labels)
    return RawDataset(f"folder {folder}", names, train_split, test_split)


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = (entry.name for entry in os.scandir(folder) if entry.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _folder_split(folder: Path, names: tuple[str, ...]) -> RawSplit:
    files: list[str] = []
    counts = []
    for name in names:
        of_class = sorted(
            os.path.join(parent, file)  # noqa: PTH118 (a million Path objects are slow)
            for parent, _, inside in os.walk(folder / name)
            for file in inside
            if file.lower().endswith(_IMAGE_SUFFIXES) and not file.startswith(".")
        )
        files += of_class
        counts.append(len(of_class))
    return RawSplit(np.repeat(np.arange(len(names)), counts), partial(_folder_images, files))


def _annotated_split(annotations: Path, names: tuple[str, ...]) -> RawSplit:
    """Tiny ImageNet's `val`: lines of image, class and box in the file, all images in `images/`."""
    index = {name: label for label, name in enumerate(names)}
    files, labels = [], []
    for number, line in enumerate(annotations.read_text().splitlines(), start=1):
        image, _, rest = line.partition("\t")
        name = rest.partition("\t")[0]
        if name not in index:
            raise UserError(f"{annotations}, line {number}: {name!r} is no class folder in train/")
        files.append(str(annotations.parent / "images" / image))
        labels.append(index[name])
    return RawSplit(np.array(labels, dtype=np.int64), partial(_folder_images, files))


def _folder_images(files: list[str]) -> Iterator[RawImage]:
    for file in files:
        yield file, partial(Image.open, file)


def _from_torchvision(dataset: Dataset, root: Path | None, cache: Path) -> RawDataset:
    if dataset.name not in _TORCHVISION:
        raise _NotHere(f"has no download for {dataset.name}")
    load: Any = _TORCHVISION[dataset.name]
    if root is not None and (root / load.base_folder).is_dir():
        home = root
        try:
            train, test = _torchvision_splits(load, root, download=False)
        except RuntimeError as error:
            raise UserError(
                f"{root / load.base_folder} is not complete or damaged (torchvision's check sums "
                "do not hold): get it again, or remove it to have it downloaded"
            ) from error
    else:
        home = cache
        train, test = _download(load, cache)
    names = tuple(train.classes)
    raw = []
    for name, split in (("train", train), ("test", test)):
        pixels, labels = split.data, split.labels if hasattr(split, "labels") else split.targets
        images = pixels if pixels.shape[-1] == 3 else pixels.transpose(0, 2, 3, 1)
        raw.append(from_arrays(f"{name} of {home / load.base_folder}", images, np.asarray(labels)))
        _check_classes(f"{name} of {home / load.base_folder}", dataset, names, raw[-1].labels)
    return RawDataset(f"torchvision {home / load.base_folder}", names, *raw)


def _torchvision_splits(load: Any, root: Path, download: bool) -> tuple[Any, Any]:
    if load is torchvision.datasets.STL10:
        splits: list[dict[str, Any]] = [{"split": "train"}, {"split": "test"}]
    else:
        splits = [{"train": True}, {"train": False}]
    train, test = (load(root, download=download, **split) for split in splits)
    return train, test


def _download(load: Any, cache: Path) -> tuple[Any, Any]:
    """Both splits, downloaded into `cache` unless they are there already."""
    timeout = socket.getdefaulttimeout()
    try:
        with _locked(cache):
            socket.setdefaulttimeout(_NETWORK_TIMEOUT)
            return _torchvision_splits(load, cache, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = re.sub(r"\s+", " ", str(error)).strip("<> ") or type(error).__name__
        raise _NotHere(f"cannot download {load.url} into {cache} ({reason})") from error
    finally:
        socket.setdefaulttimeout(timeout)
        with suppress(OSError):  # nothing came: leave no empty folder
            cache.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two jobs that prepare one data set in two sizes must not download into the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_TORCHVISION = {
    "cifar10": torchvision.datasets.CIFAR10,
    "cifar100": torchvision.datasets.CIFAR100,
    "stl10": torchvision.datasets.STL10,
}

_SOURCES: dict[str, Callable[[Dataset, Path | None, Path], RawDataset]] = {
    "parquet": _from_parquet,
    "folder": _from_folder,
    "torchvision": _from_torchvision,
}


def _folders(dataset: Dataset, root: Path | None) -> list[Path]:
    """The folders of the data set under `root` that exist."""
    if root is None:
        raise _NotHere("data_root is not set")
    if not root.is_dir():
        raise _NotHere(f"data_root {root} does not exist")
    candidates = [root / name for name in dataset.folders]
    folders = [folder for folder in candidates if folder.is_dir()]
    if not folders:
        raise _NotHere(f"no folder {_listing(candidates)}")
    return folders


def _listing(folders: list[Path]) -> str:
    return " or ".join(str(folder) for folder in folders)


def _check_classes(
    where: str, dataset: Dataset, names: tuple[str, ...], labels: np.ndarray
) -> None:
    if len(names) < 2:
        raise UserError(
            f"{where} has {len(names)} class{'es' * (not names)}: a data set needs at least two"
        )
    if len(names) > dataset.classes:
        raise UserError(
            f"{where} has {len(names)} classes, but {dataset.name} has {dataset.classes}: "
            "is it the right folder?"
        )
    counts = np.bincount(labels, minlength=len(names))
    if not counts.all():
        raise UserError(f"{where} has no image of the class {names[counts.argmin()]!r}")
