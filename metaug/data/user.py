"""A user's own data set: any folder under `data_root` that has one of the known layouts.

Nothing is known of it but its name until its files are read, once: the number of its classes and
images, and the side its images are resized to. That is the median of the shorter sides of up to
`MOST_MEASURED` training images, rounded to the nearest of `SIDES`; a scale may cap it. What was
read is kept in `data/<name>.json` and read again when the files change.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from metaug.data.datasets import DATASETS, Dataset
from metaug.data.decode import Undecodable, pillow_without_warnings
from metaug.data.raw import RawDataset, RawSplit
from metaug.data.sources import locate
from metaug.errors import UserError
from metaug.files import atomic_write_text
from metaug.spec import Frozen, brief

SIDES = tuple(sorted({dataset.image_size for dataset in DATASETS.values()}))
"""The sides of the paper's data sets, in pixels: every method and backbone is tested on them."""

MOST_MEASURED = 1000
MOST_CLASSES = 100_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_RESERVED = ("average",)
"""Names of columns of our tables."""


class _Description(Frozen):
    """What `data/<name>.json` holds; `origin` is the key of the files that it was read from."""

    origin: str
    classes: int = Field(ge=2, le=MOST_CLASSES)
    image_size: int = Field(ge=8, le=1024)
    training_images: int = Field(ge=2)
    test_images: int = Field(ge=1)


def check_names(names: Iterable[str]) -> None:
    """Refuse names that cannot be those of a user's data sets.

    They go into paths, HTML and LaTeX, on file systems that may not tell `Birds` from `birds`.

    Raises:
        UserError: a name has other characters than letters, digits, `-` and `_`, is too long, or
            is that of a known data set, or equals another one except for case, `-` and `_`.
    """
    taken = {
        _plain(known): f"the paper's {dataset.name!r}"
        for dataset in DATASETS.values()
        for known in (dataset.name, *dataset.folders)
    }
    taken |= {_plain(name): f"the column {name!r} of our tables" for name in _RESERVED}
    for name in names:
        if not _NAME.fullmatch(name):
            raise UserError(
                f"data set name {brief(name)}: it goes into paths and tables, so it must be 1 to "
                "40 letters, digits, - and _, and begin with a letter or digit: rename the folder"
            )
        yours = f"your {name!r}"
        other = taken.setdefault(_plain(name), yours)
        if other != yours:
            raise UserError(
                f"data set name {name!r} is the same as {other} except for case, - and _: use that "
                "name, or rename your folder"
            )


def _plain(name: str) -> str:
    return re.sub("[-_]", "", name.lower())


def sought(name: str) -> Dataset:
    """What to look for: a user's data set before any file is read. Its counts are limits."""
    return Dataset(name, MOST_CLASSES, SIDES[-1], 0, 0, (name,), "", splits_itself=False)


def user_dataset(
    name: str, data_root: Path | None, sources: Sequence[str], folder: Path = Path("data")
) -> Dataset:
    """Describe a user's data set by its files.

    The first time, labels and the headers of up to `MOST_MEASURED` images are read, and one line
    on stderr says what was found. After that the files are only listed; without `data_root` not
    even that.

    Args:
        name: of its folder under `data_root`; checked by `check_names`.
        data_root: folder that holds the data sets, or None.
        sources: as for `metaug.data.sources.locate`.
        folder: of the prepared data; the description is kept there.

    Raises:
        UserError: it is not there, is damaged, or an image cannot be opened.
    """
    file = folder / f"{name}.json"
    known = _read(file)
    if data_root is None and known is not None:
        return _dataset(name, known)
    located = locate(sought(name), data_root, sources, folder / "torchvision")
    if known is None or known.origin != located.origin.key:
        known = _describe(located.origin.key, located.load())
        atomic_write_text(file, known.model_dump_json(indent=1) + "\n")
        print(
            f"{name}: {known.training_images:,} training and {known.test_images:,} test images of "
            f"{known.classes} classes in {located.origin.place}; the median side is nearest to "
            f"{known.image_size} pixels",
            file=sys.stderr,
        )
    return _dataset(name, known)


def _read(file: Path) -> _Description | None:
    try:
        return _Description.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _dataset(name: str, description: _Description) -> Dataset:
    return replace(sought(name), **description.model_dump(exclude={"origin"}))


def _describe(origin: str, raw: RawDataset) -> _Description:
    side = median_side(raw.train)
    return _Description(
        origin=origin,
        classes=len(raw.class_names),
        image_size=min(SIDES, key=lambda known: (abs(known - side), known)),
        training_images=len(raw.train.labels),
        test_images=len(raw.test.labels),
    )


def median_side(split: RawSplit) -> float:
    """The median of the shorter sides of evenly spaced images; only their headers are read.

    Raises:
        UserError: an image cannot be opened; names it.
    """
    step = -(-len(split.labels) // MOST_MEASURED)
    sides = []
    with pillow_without_warnings():
        for where, open_it in islice(split.images(), 0, None, step):
            try:
                with open_it() as image:
                    sides.append(min(image.size))
            except (Undecodable, OSError) as error:
                raise UserError(
                    f"{where}: the image cannot be decoded ({error}): replace or remove it"
                ) from error
    return float(np.median(sides))
