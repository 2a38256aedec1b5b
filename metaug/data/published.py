"""CIFAR-10, CIFAR-100 and STL-10 as their authors publish them, read and downloaded by torchvision.

The batches of CIFAR are pickles. torchvision compares the MD5 of every file with the published one
before it opens any, so nothing but the authors' own files is unpickled; a reader of our own would
admit other files, whose numbers would not be those of the data set.
"""

import fcntl
import http.client
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from metaug.data.datasets import Dataset
from metaug.data.origin import Origin, origin_of, shown, stamp_of
from metaug.data.raw import (
    Located,
    NotHere,
    RawDataset,
    check_classes,
    class_names,
    from_arrays,
)
from metaug.errors import UserError

LAYOUT = "the authors' files ({0}/, as it is or in the folder of the data set)"
_NETWORK_TIMEOUT = 15.0  # seconds without an answer; torchvision itself would wait for ever

PUBLISHED = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py", "batches.meta"),
    "cifar100": ("CIFAR100", "cifar-100-python", "meta"),
    "stl10": ("STL10", "stl10_binary", "class_names.txt"),
}
"""Name of torchvision's reader, of the folder that is published, and of a file in it."""


def locate_published(dataset: Dataset, root: Path | None, cache: Path) -> Located:
    """A `Source`: the published files under `root`, or else what can be downloaded to `cache`."""
    if dataset.name not in PUBLISHED:
        raise NotHere(f"has no download for {dataset.name}")
    reader, base, first = PUBLISHED[dataset.name]
    folder = None if root is None else _folder(dataset, base, first, root)
    if folder is None:
        # the published check sums hold for what is or will be there
        found = Origin("torchvision", shown((cache / base).resolve()), "published")

        def fetch() -> RawDataset:
            return _raw(dataset, found, *_download(_torchvision(reader), cache))

        return Located(found, fetch, downloads=True)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = origin_of("torchvision", folder, (stamp_of(path, folder) for path in files))

    def read() -> RawDataset:
        try:
            load = _in_folder(_torchvision(reader), folder)
            return _raw(dataset, found, *_splits(load, folder.parent, download=False))
        except RuntimeError as error:
            raise UserError(
                f"{shown(folder)} is not complete or damaged (the published check sums do not "
                "hold): get it again, or remove it to have it downloaded"
            ) from error

    return Located(found, read)


def _folder(dataset: Dataset, base: str, first: str, root: Path) -> Path | None:
    """The folder with the published files: under its own name in `root` or in the data set's
    folder, or that folder itself."""
    own = [root / name for name in dataset.folders]
    for folder in (root / base, *(place / base for place in own)):
        if folder.is_dir():
            return folder
    return next((folder for folder in own if (folder / first).is_file()), None)


def _torchvision(reader: str) -> Any:
    # not above: it takes seconds, and a dry run only asks where the data are
    import torchvision.datasets

    return getattr(torchvision.datasets, reader)


def _in_folder(load: Any, folder: Path) -> Any:
    """torchvision's reader for a folder of any name; without STL-10's unlabelled images, which
    nothing here reads: hashing their 2.6 GB takes longer than all the rest."""
    listed = [entry for entry in load.train_list if not entry[0].startswith("unlabeled")]
    return type(load.__name__, (load,), {"base_folder": folder.name, "train_list": listed})


def _splits(load: Any, root: Path, download: bool) -> tuple[Any, Any]:
    if hasattr(load, "splits"):  # STL-10
        splits: list[dict[str, Any]] = [{"split": "train"}, {"split": "test"}]
    else:
        splits = [{"train": True}, {"train": False}]
    train, test = (load(root, download=download, **split) for split in splits)
    return train, test


def _raw(dataset: Dataset, found: Origin, train: Any, test: Any) -> RawDataset:
    names = class_names(list(train.classes), found.place)
    raw = []
    for name, split in (("train", train), ("test", test)):
        pixels, labels = split.data, split.labels if hasattr(split, "labels") else split.targets
        images = pixels if pixels.shape[-1] == 3 else pixels.transpose(0, 2, 3, 1)
        raw.append(from_arrays(f"{name} of {found.place}", images, np.asarray(labels)))
        check_classes(f"{name} of {found.place}", dataset, names, raw[-1].labels)
    return RawDataset(found, names, train=raw[0], test=raw[1])


def _download(load: Any, cache: Path) -> tuple[Any, Any]:
    """Both splits, downloaded into `cache` unless they are there already."""
    timeout = socket.getdefaulttimeout()
    try:
        with _locked(cache):
            socket.setdefaulttimeout(_NETWORK_TIMEOUT)
            return _splits(load, cache, download=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = re.sub(r"\s+", " ", str(error)).strip("<> ") or type(error).__name__
        raise NotHere(f"cannot download {load.url} into {cache} ({reason})") from error
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
        with suppress(OSError):  # no locks here
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
