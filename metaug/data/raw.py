"""A data set before its images are decoded: where it is, what it holds, what was passed over."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from metaug.data.datasets import Dataset
from metaug.data.origin import Origin, shown
from metaug.errors import UserError

RawImage = tuple[str, Callable[[], Image.Image]]
"""Where an image is (for error messages), and a function that opens it."""


@dataclass(frozen=True)
class RawSplit:
    """Labels (N,) int64, and a function that goes through the N images in the same order."""

    labels: np.ndarray
    images: Callable[[], Iterator[RawImage]]


class Skipped:
    """Files that were passed over: how many for each reason, and the first of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first: dict[str, str] = {}

    def add(self, reason: str, path: Path | str) -> None:
        """Count a file."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, shown(path))

    def __str__(self) -> str:
        return ", ".join(
            f"{count:,} {reason} ({self.first[reason]}{', ...' * (count > 1)})"
            for reason, count in self.counts.items()
        )


@dataclass(frozen=True)
class RawDataset:
    """A data set that was found; `origin` says where."""

    origin: Origin
    class_names: tuple[str, ...]
    train: RawSplit
    test: RawSplit
    skipped: Skipped = field(default_factory=Skipped)


@dataclass(frozen=True)
class Located:
    """Where a data set is, and a function that reads its labels and class names."""

    origin: Origin
    load: Callable[[], RawDataset]
    downloads: bool = False


class NotHere(Exception):
    """A source does not have the data set, and why; the next source is tried."""


def from_arrays(origin: str, images: np.ndarray, labels: np.ndarray) -> RawSplit:
    """A split from images (N, H, W, 3) uint8 RGB and labels (N,) in memory."""

    def each() -> Iterator[RawImage]:
        for index, image in enumerate(images):
            yield f"{origin}, image {index}", partial(Image.fromarray, image)

    return RawSplit(labels.astype(np.int64), each)


def class_name(name: str, where: str) -> str:
    """A class name in the one Unicode form (NFC) that names are compared in.

    Raises:
        UserError: it is empty or has characters that cannot be printed.
    """
    if not name or not name.isprintable():
        raise UserError(f"{where}: the class name {shown(name)!r} cannot be printed: rename it")
    return unicodedata.normalize("NFC", name)


def class_names(names: Any, where: str) -> tuple[str, ...]:
    """Class names as a data set gives them, checked.

    Raises:
        UserError: they are not a list of texts, or two of them are equal.
    """
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise UserError(f"{where}: the class names are {_brief(names)}: they must be a list")
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{where}: the class name {_brief(name)} is no text")
    normal = tuple(class_name(name, where) for name in names)
    for name in normal:
        if normal.count(name) > 1:
            raise UserError(f"{where}: {normal.count(name)} classes have the name {name!r}")
    return normal


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def check_classes(where: str, dataset: Dataset, names: tuple[str, ...], labels: np.ndarray) -> None:
    """Refuse a split that cannot be trained on or tested with.

    Raises:
        UserError: it has no images, fewer than two classes or more than the data set, or a class
            has no images.
    """
    if len(names) < 2:
        raise UserError(
            f"{where} has {len(names)} class{'es' * (not names)}: a data set needs at least two"
        )
    if len(names) > dataset.classes:
        raise UserError(
            f"{where} has {len(names)} classes, but {dataset.name} has {dataset.classes}: "
            "is it the right folder?"
        )
    if not len(labels):
        raise UserError(f"{where} has no images")
    counts = np.bincount(labels, minlength=len(names))
    present = np.flatnonzero(counts)
    if len(present) == 1:
        raise UserError(
            f"{where}: all images ({len(labels):,}) are of the class {names[present[0]]!r}; "
            f"the other {len(names) - 1} have none"
        )
    if len(present) < len(names):
        raise UserError(f"{where} has no image of the class {names[counts.argmin()]!r}")


def folders_of(dataset: Dataset, root: Path | None) -> list[Path]:
    """The folders of a data set under `root` that exist.

    Raises:
        NotHere: there is none.
    """
    if root is None:
        raise NotHere("data_root is not set")
    candidates = [root / name for name in dataset.folders]
    folders = [folder for folder in candidates if folder.is_dir()]
    if not folders:
        raise NotHere(f"no folder {listing(candidates)}")
    return folders


def listing(folders: Sequence[Path]) -> str:
    """`a or b`."""
    return " or ".join(shown(folder) for folder in folders)


Source = Callable[[Dataset, Path | None, Path], Located]
"""Looks for a data set under data_root, with a folder for downloads; raises `NotHere`."""
