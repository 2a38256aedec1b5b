"""Prepared data sets as memory-mapped arrays, and balanced subsets of them."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metaug.data.origin import Origin
from metaug.errors import UserError
from metaug.files import atomic_write_text, exclusive

MANIFEST = "manifest.json"
KEPT = ".manifest.json"
"""A copy of the manifest. Snakemake deletes the manifest before it prepares a data set again; if
the data are not there then, the prepared arrays are still good."""

CHECKED = "checked.json"
"""The sizes and times that the files had when they were last compared with the manifest."""

UNAVAILABLE = "unavailable: "
"""What the text of an origin begins with if the data are not where they should be, and why."""

_PARTS = [(split, kind) for split in ("train", "test") for kind in ("", "_labels")]
_ENTRY = {"bytes": int, "sha256": str, "dtype": str, "shape": list}


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

    A file whose size and times are those of its last check is trusted, which costs nothing; any
    other, in a copied folder for example, is compared with its SHA-256 once.

    Raises:
        UserError: the folder is not prepared, or a file of it is missing, cut short or damaged.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    _check(folder, manifest["files"])

    def load(name: str, memory_map: bool) -> Any:
        entry = manifest["files"][name]
        path = folder / name
        try:
            array = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        except ValueError as error:
            raise _damaged(folder, f"{path} is not an array") from error
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            raise _damaged(folder, f"{path} is {array.dtype} {array.shape}, not as in {MANIFEST}")
        return array

    def split(name: str) -> Split:
        images, labels = load(f"{name}.npy", True), load(f"{name}_labels.npy", False)
        if len(images) != len(labels):
            raise _damaged(folder, f"{name} has {len(images)} images and {len(labels)} labels")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(manifest["class_names"]):
            raise _damaged(folder, f"{name}_labels.npy has classes that {MANIFEST} does not name")
        return Split(images, labels)

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


def recorded_digest(folder: Path | str) -> str | None:
    """The `Prepared.digest` of a folder by its manifest alone; None if it is not prepared."""
    try:
        return _digest(_read_manifest(Path(folder)))
    except UserError:
        return None


def verify(folder: Path | str) -> None:
    """Check the SHA-256 of every file of a prepared folder; reads all of them.

    Raises:
        UserError: the folder is not prepared, or a file is missing or not as it was written.
    """
    folder = Path(folder)
    files = _read_manifest(folder)["files"]
    _hash(folder, files, files)
    remember_checked(folder, files)


def remember_checked(folder: Path, files: dict[str, Any]) -> None:
    """Note the sizes and times of files whose contents are known to be those of the manifest."""
    with suppress(UserError):  # a read-only folder: they are checked again the next time
        atomic_write_text(folder / CHECKED, json.dumps(_stamps(folder, files), indent=1) + "\n")


def recorded_origin(folder: Path | str) -> Origin | None:
    """What a folder was prepared from; None if it is not prepared.

    A folder whose manifest was deleted and is still kept counts as prepared.
    """
    folder = Path(folder)
    try:
        manifest = _read_manifest(folder, MANIFEST if (folder / MANIFEST).exists() else KEPT)
    except UserError:
        return None
    source, _, place = str(manifest.get("origin", "")).partition(" ")
    return Origin(source, place, str(manifest.get("fingerprint", "not recorded")))


def require_origin(folder: Path | str, key: str) -> None:
    """Refuse prepared arrays that were not made from what `key`, of `expected_origin`, says.

    Snakemake prepares data again when they are to come from elsewhere; but not if it does not know
    how they came to be, in a copied folder for example.

    Raises:
        UserError: names both places.
    """
    recorded = recorded_origin(folder)
    if key.startswith(UNAVAILABLE):
        raise UserError(key.removeprefix(UNAVAILABLE))
    if recorded is None or recorded.key == key:
        return
    again = f"delete {Path(folder) / MANIFEST} to have it prepared again"
    place = key.rpartition(" ")[0]
    if str(recorded) == place:
        raise UserError(f"the files of {place} are not those that {folder} was made from: {again}")
    raise UserError(f"{folder} was prepared from {recorded}, not from {place}: {again}")


def _check(folder: Path, files: dict[str, Any]) -> None:
    for name, entry in files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        if size != entry["bytes"]:
            raise _damaged(folder, f"{path} has {size:,} bytes instead of {entry['bytes']:,}")
    if not _changed(folder, files):
        return
    with ExitStack() as stack:
        with suppress(UserError):  # a read-only folder
            # of many jobs that start at once, one reads the files
            stack.enter_context(exclusive(folder / f".{CHECKED}.lock", wait=True))
        changed = _changed(folder, files)
        _hash(folder, files, changed)
        if changed:
            remember_checked(folder, files)


def _changed(folder: Path, files: dict[str, Any]) -> list[str]:
    """Names of the files that are not as they were at their last check."""
    try:
        checked = json.loads((folder / CHECKED).read_bytes())
        return [n for n, stamp in _stamps(folder, files).items() if checked.get(n) != stamp]
    except (OSError, ValueError, AttributeError, RecursionError):
        return list(files)


def _stamps(folder: Path, files: dict[str, Any]) -> dict[str, list[Any]]:
    """Of each file its size, the times of its last change (ns) and the SHA-256 that it has to have.

    The second time, of the last change of the file's entry, cannot be set back by a program.
    """
    stamps = {}
    for name, entry in files.items():
        status = (folder / name).stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        stamps[name] = [status.st_size, *times, entry["sha256"]]
    return stamps


def _hash(folder: Path, files: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        if not path.is_file():
            raise _damaged(folder, f"{path} is missing")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != files[name]["sha256"]:
            raise _damaged(folder, f"{path} does not have the SHA-256 of {MANIFEST}")


def balanced_subset(labels: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """Draw a class-balanced subset.

    Every class gives `count // classes` images. Where `count` is not divisible, the rest come one
    each from classes drawn at random among those that have one image more. A class with fewer
    images gives all it has, and the others share what it lacks.

    Args:
        labels: (N,) integers; the classes are the values that occur.
        count: size of the subset, from 1 to N.
        generator: the only source of randomness: equal state, equal subset.

    Returns:
        (count,) int64 indices into `labels`, ascending, without repetition.

    Raises:
        UserError: `count` is out of range.
    """
    if not 1 <= count <= len(labels):
        raise UserError(f"a subset of {count} images was asked for: it must be 1 to {len(labels)}")
    classes, sizes = np.unique(labels, return_counts=True)
    quota = count // len(classes)
    while True:
        quotas = np.minimum(sizes, quota)
        rest, roomy = count - quotas.sum(), np.flatnonzero(sizes > quota)
        if rest <= len(roomy):
            break
        quota += rest // len(roomy)
    quotas[roomy[torch.randperm(len(roomy), generator=generator).numpy()[:rest]]] += 1
    drawn = []
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        drawn.append(members[torch.randperm(len(members), generator=generator).numpy()[:quota]])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise UserError(
            f"{folder} holds no prepared data set (it has no {MANIFEST}): run its preparation again"
        )
    try:
        manifest = json.loads(path.read_bytes())
        files = {f"{s}{k}.npy": manifest["files"][f"{s}{k}.npy"] for s, k in _PARTS}
        valid = isinstance(manifest["image_size"], int) and all(
            isinstance(entry[key], kind) for entry in files.values() for key, kind in _ENTRY.items()
        )
        names = manifest["class_names"]
        valid &= isinstance(names, list) and all(isinstance(name, str) for name in names)
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise _damaged(folder, f"{path} is damaged")
    return {**manifest, "files": files}


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(f"{what}: delete {folder} and run again")
