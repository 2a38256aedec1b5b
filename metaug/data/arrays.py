"""Prepared data sets as memory-mapped arrays, and balanced subsets of them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metaug.errors import UserError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        images: (N, H, W, 3) uint8 RGB, read-only, memory-mapped: processes share one copy.
        labels: (N,) int64, in [0, classes).
    """

    images: np.memmap
    labels: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """A data set as `metaug.data.prepare` wrote it; images are `image_size` pixels square.

    `digest` is a SHA-256 that two prepared sets share only if all their files are equal.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_size: int
    digest: str


def open_prepared(folder: Path | str) -> Prepared:
    """Open a folder that `metaug.data.prepare.prepare` wrote.

    The size of every file is checked against the manifest, which costs nothing; `verify` checks
    their contents.

    Raises:
        UserError: the folder is not prepared, or a file of it is missing, cut short or damaged.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)

    def load(name: str, memory_map: bool) -> Any:
        entry = manifest["files"][name]
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        if size != entry["bytes"]:
            raise _damaged(folder, f"{path} has {size:,} bytes instead of {entry['bytes']:,}")
        try:
            array = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        except ValueError as error:
            raise _damaged(folder, f"{path} is not an array") from error
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            raise _damaged(folder, f"{path} is {array.dtype} {array.shape}, not as in {MANIFEST}")
        return array

    def split(name: str) -> Split:
        return Split(load(f"{name}.npy", True), load(f"{name}_labels.npy", False))

    return Prepared(
        train=split("train"),
        test=split("test"),
        class_names=tuple(manifest["class_names"]),
        image_size=manifest["image_size"],
        digest=_digest(manifest),
    )


def _digest(manifest: dict[str, Any]) -> str:
    files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def verify(folder: Path | str) -> None:
    """Check the SHA-256 of every file of a prepared folder; reads all of them.

    Raises:
        UserError: the folder is not prepared, or a file is missing or not as it was written.
    """
    folder = Path(folder)
    for name, entry in _read_manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            raise _damaged(folder, f"{path} is missing")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry["sha256"]:
            raise _damaged(folder, f"{path} does not have the SHA-256 of {MANIFEST}")


def balanced_subset(labels: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """Draw a class-balanced subset.

    Every class gives `count // classes` images. Where `count` is not divisible, the rest come one
    each from classes drawn at random among those that have one image more.

    Args:
        labels: (N,) integers; the classes are the values that occur.
        count: size of the subset, from 1 to N.
        generator: the only source of randomness: equal state, equal subset.

    Returns:
        (count,) int64 indices into `labels`, ascending, without repetition.

    Raises:
        UserError: `count` is out of range, or a class has too few images for it.
    """
    if not 1 <= count <= len(labels):
        raise UserError(f"a subset of {count} images was asked for: it must be 1 to {len(labels)}")
    classes, sizes = np.unique(labels, return_counts=True)
    quota, rest = divmod(count, len(classes))
    quotas = np.full(len(classes), quota)
    roomy = np.flatnonzero(sizes > quota)
    quotas[roomy[torch.randperm(len(roomy), generator=generator).numpy()[:rest]]] += 1
    if sizes.min() < quota or len(roomy) < rest:
        smallest = sizes.argmin()
        raise UserError(
            f"a balanced subset of {count} images needs {-(-count // len(classes))} of each class, "
            f"but class {classes[smallest]} has {sizes[smallest]}: ask for fewer images"
        )
    drawn = []
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        drawn.append(members[torch.randperm(len(members), generator=generator).numpy()[:quota]])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{folder} holds no prepared data set (it has no {MANIFEST}): run its preparation again"
        )
    try:
        manifest = json.loads(path.read_bytes())
        entries = [
            manifest["files"][f"{s}{k}.npy"] for s in ("train", "test") for k in ("", "_labels")
        ]
        _ = manifest["class_names"], manifest["image_size"], [e["bytes"] for e in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{path} is damaged") from error
    return manifest


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(f"{what}: delete {folder} and run again")
