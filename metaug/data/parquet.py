"""Data sets in Parquet files, as the Hugging Face Hub and its `datasets` library write them.

A split is `<split>.parquet`; or shards of it, `<split>-00000-of-00004.parquet`, with any number of
digits, with or without a hash behind it; or `<split>/0000.parquet`, `<split>/0001.parquet`, ....
They lie in the data set's folder or in one sub-folder of it (`data/`, `plain_text/`, ...).

Columns: `image` or `img`, a struct of `bytes` (the encoded file) and `path`; `fine_label`, `label`
or `coarse_label` (the first of these that there is), integers. Class names are in the schema
metadata, as a JSON list under `class_names` or as the names of the label under `huggingface`.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from metaug.data.datasets import Dataset
from metaug.data.decode import Undecodable, open_image
from metaug.data.origin import origin_of, shown, stamp_of
from metaug.data.raw import (
    Located,
    NotHere,
    RawDataset,
    RawImage,
    RawSplit,
    check_classes,
    class_names,
    folders_of,
    listing,
)
from metaug.errors import UserError

LAYOUT = (
    "Parquet (train.parquet, train-00000-of-00004.parquet or train/0000.parquet, also in one "
    "sub-folder such as data/)"
)
_BATCH = 64  # rows held at a time, beside the pages they are in
_MOST_ROWS = 2**26  # five times ImageNet-21k; of a few bytes Parquet can make billions
_USUAL = ("data", "plain_text", "default")  # sub-folders that the Hub uses
_IMAGES = ("image", "img")
_LABELS = ("label", "fine_label", "coarse_label")
_SHARD = re.compile(r"(?:([a-z]+)-)?([0-9]+)(?:-of-([0-9]+))?(?:-[0-9A-Za-z]+)?\.parquet")


def locate_parquet(dataset: Dataset, root: Path | None, cache: Path) -> Located:
    """A `Source`: the Parquet files of a data set under `root`."""
    folders = folders_of(dataset, root)
    places = (_place(folder, dataset) for folder in folders)
    folder = next((place for place in places if place is not None), None)
    if folder is None:
        raise NotHere(f"no train.parquet in {listing(folders)}")
    train = _shards(folder, "train")
    test = next((name for name in dataset.test_splits if _shards(folder, name)), None)
    if test is None:
        raise UserError(
            f"{shown(folder)} has {shown(train[0].name)} but no {dataset.test_splits[0]}.parquet"
        )
    files = {"train": train, test: _shards(folder, test)}
    found = origin_of(
        "parquet", folder, (stamp_of(f, folder) for each in files.values() for f in each)
    )

    def load() -> RawDataset:
        names, splits = zip(*(_split(each) for each in files.values()), strict=True)
        if names[0] != names[1]:
            raise UserError(f"the class names of train and {test} in {shown(folder)} differ")
        for name, split in zip(files, splits, strict=True):
            check_classes(f"{name} of {shown(folder)}", dataset, names[0], split.labels)
        return RawDataset(found, names[0], *splits)

    return Located(found, load)


def _place(folder: Path, dataset: Dataset) -> Path | None:
    """The folder itself or its sub-folder that has a training split."""
    if _shards(folder, "train"):
        return folder
    splits = {"train", *dataset.test_splits}
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    places = [folder / n for n in inside if n not in splits and _shards(folder / n, "train")]
    usual = [folder / name for name in _USUAL if folder / name in places]
    if len(places) > 1 and not usual:
        raise UserError(
            f"{shown(folder)} has several exports, {', '.join(shown(p.name) for p in places)}: "
            "keep one of them there"
        )
    return next(iter(usual + places), None)


def _shards(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split in their order, none if it is not there."""
    whole = folder / f"{split}.parquet"
    if whole.is_file():
        return [whole]
    found = {}
    for path in folder.iterdir():
        match = _SHARD.fullmatch(path.name)
        if match and match[1] == split and match[3]:
            found[path] = match
    if not found and (folder / split).is_dir():
        for path in (folder / split).iterdir():
            match = _SHARD.fullmatch(path.name)
            if match and match[1] in (None, split):
                found[path] = match
    return _complete({path: match for path, match in found.items() if path.is_file()})


def _complete(found: dict[Path, re.Match[str]]) -> list[Path]:
    """Shards in the order of their numbers; each must be there once."""
    if not found:
        return []
    shards: dict[int, Path] = {}
    totals = {int(match[3]) if match[3] else None for match in found.values()}
    for path, match in sorted(found.items()):
        number = int(match[2])
        if number in shards or len(totals) > 1:
            raise UserError(
                f"{shown(path)} and {shown(next(iter(shards.values())).name)} are shards of "
                "different exports: keep those of one"
            )
        shards[number] = path
    total = next(iter(totals)) or max(shards) + 1
    for number in range(total):
        if number not in shards:
            path, match = next(iter(found.items()))
            start, end = match.span(2)
            name = f"{path.name[:start]}{number:0{end - start}d}{path.name[end:]}"
            raise UserError(
                f"{shown(path.with_name(name))} is missing, {len(shards)} other shards are there: "
                "get it too"
            )
    return [shards[number] for number in range(total)]


def _split(files: list[Path]) -> tuple[tuple[str, ...], RawSplit]:
    names, labels, columns = zip(*(_labels(file) for file in files), strict=True)
    if len(set(names)) > 1:
        raise UserError(f"the class names of {shown(files[0])} and its other shards differ")
    images = partial(_images, dict(zip(files, columns, strict=True)))
    return names[0], RawSplit(np.concatenate(labels), images)


def _labels(file: Path) -> tuple[tuple[str, ...], np.ndarray, str]:
    """Class names, labels and the name of the column of images of a file."""
    where = shown(file)
    with _reading(file), pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        fields = {field.name: field.type for field in schema}
        image, label = _column(where, fields, *_IMAGES), _column(where, fields, *_LABELS)
        kind = fields[image]
        if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            raise UserError(
                f"column {image!r} of {where} is {kind}: it must be a struct with bytes"
            )
        stored = kind.field("bytes").type
        if not (pa.types.is_binary(stored) or pa.types.is_large_binary(stored)):
            raise UserError(f"column '{image}.bytes' of {where} is {stored}: it must be binary")
        if not pa.types.is_integer(fields[label]):
            raise UserError(
                f"column {label!r} of {where} is {fields[label]}: it must be an integer"
            )
        if parquet.metadata.num_rows > _MOST_ROWS:
            raise UserError(
                f"{where} has {parquet.metadata.num_rows:,} rows: at most {_MOST_ROWS:,} are read"
            )
        column = parquet.read([label]).column(label)
    names = _class_names(file, schema.metadata or {}, label)
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UserError(f"{where}, row {row}: the label is missing")
    if not len(column):
        return names, np.empty(0, np.int64), image
    labels = column.to_numpy().astype(np.int64)
    outside = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(outside):
        raise UserError(
            f"{where}, row {outside[0]}: label {labels[outside[0]]} is not one of the "
            f"{len(names)} classes, 0 to {len(names) - 1}"
        )
    return names, labels, image


def _column(where: str, fields: dict[str, Any], usual: str, *others: str) -> str:
    """The name that a file has; of several, the first of `others` before the usual one, so that
    CIFAR-100's fine labels go first, but coarse ones last."""
    for name in (*others[:1], usual, *others[1:]):
        if name in fields:
            return name
    wanted = " or ".join(repr(name) for name in (usual, *others))
    raise UserError(f"{where} has no column {wanted}: it has {', '.join(map(shown, fields))}")


def _class_names(file: Path, metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    try:
        if b"class_names" in metadata:
            names = json.loads(metadata[b"class_names"])
        else:
            names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{shown(file)} has no class names: its schema metadata needs class_names, a JSON "
            f"list, or huggingface with a ClassLabel for the column {label}"
        ) from error
    return class_names(names, shown(file))


def _images(columns: dict[Path, str]) -> Iterator[RawImage]:
    """The images of files; `columns` says in which column each has them."""
    for file, column in columns.items():
        row = 0
        with _reading(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=[column]):
                for image in batch.column(column):
                    yield f"{shown(file)}, row {row}", partial(_open, image)
                    row += 1


def _open(image: pa.StructScalar) -> Image.Image:
    encoded = image["bytes"].as_py() if image.is_valid else None
    if encoded is not None:
        return open_image(encoded)
    path = image["path"].as_py() if image.is_valid and "path" in image else None
    if path:
        raise Undecodable(
            f"only its path {shown(str(path))!r} is stored, not its bytes: export the data set "
            "with its images embedded, or as class folders"
        )
    raise Undecodable("it is missing")


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise UserError(
            f"cannot read {shown(file)}, it is cut short or no Parquet file: get it again "
            f"({reason})"
        ) from error
