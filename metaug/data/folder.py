"""Data sets as class folders: `<split>/<class>/*.jpg`, sub-folders and links included.

Classes are numbered in the order of their names. The test split may be as Tiny ImageNet has it:
`val/images/` with the classes in `val/val_annotations.txt`. A user's own data set may come without
splits, as `<class>/*.jpg`: a fifth of each class, drawn by the names of the files, is its test
split, so that an image that is added moves few others.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from metaug.data.datasets import Dataset
from metaug.data.decode import SUFFIXES, open_image
from metaug.data.origin import Stamp, origin_of, shown
from metaug.data.raw import (
    Located,
    NotHere,
    RawDataset,
    RawImage,
    RawSplit,
    Skipped,
    check_classes,
    class_name,
    folders_of,
    listing,
)
from metaug.errors import UserError

LAYOUT = "class folders (train/<class>/*.jpg)"
LAYOUT_WITHOUT_SPLITS = "class folders (<class>/*.jpg, or train/<class>/*.jpg and test/...)"
TEST_SHARE = 0.2
"""Of each class, where there are no splits."""

ANNOTATIONS = "val_annotations.txt"

_File = tuple[str, int, int]  # path, size and time of change (ns)
_Folders = set[tuple[int, int]]  # device and inode of each


def locate_folder(dataset: Dataset, root: Path | None, cache: Path) -> Located:
    """A `Source`: the class folders of a data set under `root`."""
    folders = folders_of(dataset, root)
    folder = next((folder for folder in folders if (folder / "train").is_dir()), None)
    if folder is None and not dataset.splits_itself:
        return _locate_without_splits(dataset, folders[0])
    if folder is None:
        raise NotHere(f"no train/ in {listing(folders)}")
    test = next((name for name in dataset.test_splits if (folder / name).is_dir()), None)
    if test is None:
        raise UserError(f"{shown(folder)} has train/ but no {dataset.test_splits[0]}/")
    skipped = Skipped()
    train_files = _classes(folder, "train", skipped)
    annotations = folder / test / ANNOTATIONS
    annotated = annotations.is_file()
    test_files = _classes(folder, test, skipped, loose=annotated)
    found = origin_of("folder", folder, _stamps(folder, train_files, test_files, annotations))

    def load() -> RawDataset:
        names = tuple(train_files)
        if annotated:
            test_split = _annotated(annotations, names, test_files, skipped)
        else:
            if different := sorted(train_files.keys() ^ test_files.keys()):
                raise UserError(
                    f"{shown(folder)}/train and {shown(folder)}/{test} have different classes: "
                    f"{different[0]} is in one of them only"
                )
            test_split = _split(test_files)
        train_split = _split(train_files)
        for name, split in (("train", train_split), (test, test_split)):
            check_classes(shown(folder / name), dataset, names, split.labels)
        return RawDataset(found, names, train_split, test_split, skipped)

    return Located(found, load)


def _locate_without_splits(dataset: Dataset, folder: Path) -> Located:
    """Class folders that lie in the folder of the data set itself."""
    if test := next((name for name in dataset.test_splits if (folder / name).is_dir()), None):
        raise UserError(f"{shown(folder)} has {test}/ but no train/")
    skipped = Skipped()
    files = _classes(folder, "", skipped)
    if not files:
        raise NotHere(f"neither train/ nor folders of classes in {shown(folder)}")
    found = origin_of("folder", folder, _stamps(folder, files, {}, folder / ANNOTATIONS))

    def load() -> RawDataset:
        names = tuple(files)
        drawn = {name: _drawn(folder, of_class) for name, of_class in files.items()}
        train, test = (
            _split({name: parts[part] for name, parts in drawn.items()}) for part in (0, 1)
        )
        for title, split in (("training", train), ("test", test)):
            check_classes(f"the {title} part of {shown(folder)}", dataset, names, split.labels)
        return RawDataset(found, names, train, test, skipped)

    return Located(found, load)


def _drawn(folder: Path, files: list[_File]) -> tuple[list[_File], list[_File]]:
    """The training and the test images of a class: those whose names have the lowest digests."""
    start = len(os.fspath(folder)) + 1

    def digest(file: _File) -> bytes:
        return hashlib.sha256(os.fsencode(file[0][start:])).digest()

    test = {*sorted(files, key=digest)[: max(1, round(TEST_SHARE * len(files)))]}
    return [file for file in files if file not in test], [file for file in files if file in test]


def _classes(
    folder: Path, split: str, skipped: Skipped, loose: bool = False
) -> dict[str, list[_File]]:
    """The images of each class of a split, by the name of the class; of a split whose classes are
    listed elsewhere (`loose`), all images under one empty name."""
    top = folder / split
    above = {_identity(parent.stat()) for parent in (folder, top)}
    if loose:
        return {"": sorted(_walk(top / "images", above, skipped))}
    classes: dict[str, list[_File]] = {}
    with os.scandir(top) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                skipped.add("hidden", entry.path)
            elif not entry.is_dir():
                skipped.add("outside of the class folders", entry.path)
            elif _identity(entry.stat()) in above:
                skipped.add("linked back to a folder above", entry.path)
            else:
                # two forms of one name in Unicode are one class
                name = class_name(entry.name, shown(top))
                classes.setdefault(name, []).extend(sorted(_walk(top / entry.name, above, skipped)))
    return {name: classes[name] for name in sorted(classes)}


def _walk(folder: Path, above: _Folders, skipped: Skipped) -> Iterator[_File]:
    """The images under a folder, in no order; each folder is read once, whatever links to it."""
    seen = {*above, _identity(folder.stat())}
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    skipped.add("hidden", entry.path)
                    continue
                image = entry.name.lower().endswith(SUFFIXES)
                try:
                    status = entry.stat()
                except OSError as error:
                    if image:
                        raise UserError(
                            f"{shown(entry.path)} is a link that leads nowhere "
                            f"({error.strerror}): mend or remove it"
                        ) from error
                    skipped.add("linked to nothing", entry.path)
                    continue
                if stat.S_ISDIR(status.st_mode):
                    if _identity(status) in seen:
                        skipped.add("linked back to a folder that is read already", entry.path)
                    else:
                        seen.add(_identity(status))
                        waiting.append(entry.path)
                elif not image:
                    skipped.add("no image by its name", entry.path)
                elif not stat.S_ISREG(status.st_mode):
                    skipped.add("not an ordinary file", entry.path)
                else:
                    yield entry.path, status.st_size, status.st_mtime_ns


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _stamps(
    folder: Path, train: dict[str, list[_File]], test: dict[str, list[_File]], annotations: Path
) -> Iterator[Stamp]:
    start = len(os.fspath(folder)) + 1
    for files in (*train.values(), *test.values()):
        for path, size, time in files:
            yield path[start:], size, time
    if annotations.is_file():
        status = annotations.stat()
        yield annotations.name, status.st_size, status.st_mtime_ns


def _split(classes: dict[str, list[_File]]) -> RawSplit:
    files = [path for of_class in classes.values() for path, _, _ in of_class]
    labels = np.repeat(np.arange(len(classes)), [len(of_class) for of_class in classes.values()])
    return RawSplit(labels, partial(_images, files))


def _annotated(
    annotations: Path, names: tuple[str, ...], found: dict[str, list[_File]], skipped: Skipped
) -> RawSplit:
    """Tiny ImageNet's `val`: lines of image, class and box in the file, all images in `images/`."""
    where = shown(annotations)
    try:
        lines = annotations.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text: get it again") from error
    index = {name: label for label, name in enumerate(names)}
    folder = os.fspath(annotations.parent / "images")
    unused = {path for path, _, _ in found[""]}
    files, labels = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image, _, rest = line.partition("\t")
        name = class_name(rest.partition("\t")[0] or "?", f"{where}, line {number}")
        if name not in index:
            raise UserError(f"{where}, line {number}: {name!r} is no class folder in train/")
        path = os.path.join(folder, image)  # noqa: PTH118 (compared with what the walk found)
        if path not in unused:
            raise UserError(
                f"{where}, line {number}: images/ has no image {shown(image)!r}, or it is listed "
                "twice"
            )
        unused.remove(path)
        files.append(path)
        labels.append(index[name])
    for path in sorted(unused):
        skipped.add(f"not in {ANNOTATIONS}", path)
    return RawSplit(np.array(labels, dtype=np.int64), partial(_images, files))


def _images(files: list[str]) -> Iterator[RawImage]:
    for file in files:
        yield shown(file), partial(open_image, Path(file))
