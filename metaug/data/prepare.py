"""The preparation of a data set: every image decoded once into one uint8 array."""

import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from metaug.data.arrays import (
    CHECKED,
    KEPT,
    MANIFEST,
    UNAVAILABLE,
    open_prepared,
    recorded_origin,
    remember_checked,
)
from metaug.data.datasets import DATASETS, Dataset
from metaug.data.decode import Undecodable, decode, pillow_without_warnings
from metaug.data.origin import Origin, shown
from metaug.data.raw import Located, RawDataset, RawImage, RawSplit, from_arrays
from metaug.data.sources import locate
from metaug.data.user import check_names, sought
from metaug.errors import UserError
from metaug.files import atomic_path, atomic_write_bytes, atomic_write_text, exclusive

_BLOCK = 256  # encoded images that the decoding threads are given at a time


def expected_origin(
    dataset: str, folder: Path, data_root: Path | None, sources: Sequence[str]
) -> str:
    """What `folder` has to be prepared from, as a text: another text, another preparation.

    For Snakemake, which compares it with that of the last run; the text of what is recorded in the
    folder is `recorded_origin(folder).key`. No file of the data is opened. Never fails: what is
    wrong is said by `prepare`.
    """
    try:
        located = _locate(dataset, folder, data_root, sources)
    except UserError as error:
        return f"{UNAVAILABLE}{error}"
    recorded = recorded_origin(folder)
    if located is not None or recorded is None:
        return located.origin.key if located else "not prepared"
    if recorded.source != "torchvision":  # published files: it is the same without them
        print(
            f"data_root is not set: {folder}, prepared from {recorded}, is used as it is",
            file=sys.stderr,
        )
    return recorded.key


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
    count as prepared. Images stay in the order of their source and are not kept in memory.
    `metaug.data.decode` says how they become squares of RGB. Prints one line: how many images of
    how many classes, and what was passed over.

    The manifest records the place that the images came from and a fingerprint of its files. What
    was prepared from the same files is left as it is; so are prepared arrays if `data_root` is
    None. Of two preparations of one folder at a time, the second waits.

    Args:
        dataset: a name out of `DATASETS`, or that of a user's folder in `data_root`.
        image_size: side in pixels.
        output_folder: made if it is missing; what was prepared there before is replaced. Downloads
            go to `torchvision/` beside it.
        data_root: folder that holds the data sets (see `metaug.data.sources`), or None.
        sources: in the order of trying. `digits_m` needs none of them.
        workers: threads that decode. Two were 1.3 to 2 times as fast as one on photographs of
            500×375 pixels, but slower than one from 224×224 down.

    Raises:
        UserError: the data set is not found or damaged, its name cannot be used, an image is
            corrupt (names it), or writing failed.
    """
    if image_size < 1:
        raise UserError(f"image_size is {image_size}: it must be a positive number of pixels")
    folder = Path(output_folder)
    root = None if data_root is None else Path(data_root)
    _locate(dataset, folder, root, sources)  # before anything is made
    with exclusive(folder.parent / f".{folder.name}.lock", wait=True), pillow_without_warnings():
        if (folder / KEPT).exists() and not (folder / MANIFEST).exists():
            atomic_write_bytes(folder / MANIFEST, (folder / KEPT).read_bytes())
        located = _locate(dataset, folder, root, sources)
        if _is_prepared(folder, dataset, image_size, located):
            print(f"{folder} is prepared already, from {recorded_origin(folder)}", flush=True)
            return
        if located is None:  # what is there is damaged or of another size
            located = locate(_named(dataset), root, sources, _cache(folder))
        _write(folder, dataset, image_size, located.load(), workers)


def _locate(
    dataset: str, folder: Path, data_root: Path | None, sources: Sequence[str]
) -> Located | None:
    """Where the data are; None if the prepared arrays are all there is and all that is needed.

    Raises:
        UserError: the data set is not where it should be, or its name cannot be used.
    """
    sought_for = _named(dataset)
    if dataset == "digits_m":
        return Located(_DIGITS_M, _digits_m)
    recorded = recorded_origin(folder)
    if data_root is None and recorded is not None and recorded.source in sources:
        return None
    try:
        found = locate(sought_for, data_root, sources, _cache(folder))
    except UserError as error:
        if recorded is None:
            raise
        raise UserError(f"{error}; {_ways_on(folder, recorded)}") from error
    wanted = data_root is None or tuple(sources) == ("torchvision",)
    if found.downloads and not wanted and recorded and recorded.place != found.origin.place:
        raise UserError(
            f"data_root {shown(data_root or '')} does not hold {dataset}; "
            f"{_ways_on(folder, recorded)}; to download it, set sources to [torchvision]"
        )
    return found


def _named(dataset: str) -> Dataset:
    """A known data set, or where a user's is looked for."""
    if dataset in DATASETS:
        return DATASETS[dataset]
    check_names([dataset])
    return sought(dataset)


def _cache(folder: Path) -> Path:
    return folder.parent / "torchvision"


def _ways_on(folder: Path, recorded: Origin) -> str:
    return (
        f"{folder} was prepared from {recorded}: to go on with it as it is, leave data_root and "
        "METAUG_DATA_ROOT unset"
    )


def _is_prepared(folder: Path, dataset: str, image_size: int, located: Located | None) -> bool:
    """Whether a folder holds what is asked for, whole."""
    try:
        prepared = open_prepared(folder)
    except UserError:
        return False
    recorded = recorded_origin(folder)
    same = located is None or (recorded is not None and recorded.key == located.origin.key)
    return same and prepared.image_size == image_size


def _write(folder: Path, dataset: str, image_size: int, raw: RawDataset, workers: int) -> None:
    _clear(folder)
    files: dict[str, dict[str, Any]] = {}
    done: Counter[str] = Counter()
    for name, split in (("train", raw.train), ("test", raw.test)):
        images = _decoded(split, image_size, workers, f"{dataset} {name}", done)
        shape = (len(split.labels), image_size, image_size, 3)
        files[f"{name}.npy"] = _write_array(folder / f"{name}.npy", shape, "uint8", images)
        files[f"{name}_labels.npy"] = _write_array(
            folder / f"{name}_labels.npy", split.labels.shape, "int64", [split.labels]
        )
    counts = {"train": len(raw.train.labels), "test": len(raw.test.labels)}
    manifest = {
        "dataset": dataset,
        "origin": str(raw.origin),
        "fingerprint": raw.origin.fingerprint,
        "image_size": image_size,
        "class_names": raw.class_names,
        "counts": counts,
        "skipped": raw.skipped.counts,
        "converted": dict(sorted(done.items())),
        "files": files,
    }
    remember_checked(folder, files)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    for file in (KEPT, MANIFEST):
        atomic_write_text(folder / file, text)
    converted = "".join(f", {count:,} {what}" for what, count in sorted(done.items()))
    print(
        f"{folder}: {counts['train']:,} training and {counts['test']:,} test images of "
        f"{len(raw.class_names)} classes from {raw.origin}{converted}; "
        f"skipped: {raw.skipped if raw.skipped.counts else 'nothing'}",
        flush=True,
    )


_DIGITS_M = Origin("digits_m", "(made from scikit-learn's images)", "1")


def _digits_m() -> RawDataset:
    # not above: it imports scikit-learn, and a dry run only asks where the data are
    from metaug.data.digits_m import CLASS_NAMES, make_digits_m

    train, test = (
        from_arrays(f"{name} of digits_m", images, labels)
        for name, (images, labels) in make_digits_m().items()
    )
    return RawDataset(_DIGITS_M, CLASS_NAMES, train, test)


def _clear(folder: Path) -> None:
    """From here on the folder is unprepared; remove also what a killed preparation left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (MANIFEST, KEPT, CHECKED):
            (folder / old).unlink(missing_ok=True)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def _decoded(
    split: RawSplit, image_size: int, workers: int, description: str, done: Counter[str]
) -> Iterator[np.ndarray]:
    """The images of a split in their order, each (image_size, image_size, 3) uint8; `done` counts
    those that were converted in a way that one should know of."""

    def decode(image: RawImage) -> tuple[np.ndarray, tuple[str, ...]]:
        return _decode(*image, image_size)

    images = iter(tqdm(split.images(), description, len(split.labels), unit="image", disable=None))
    with ThreadPoolExecutor(workers) as pool:
        spread: Callable[..., Iterable[tuple[np.ndarray, tuple[str, ...]]]] = (
            map if workers == 1 else pool.map
        )
        while block := list(islice(images, _BLOCK)):
            for pixels, conversions in spread(decode, block):
                done.update(conversions)
                yield pixels


def _decode(
    where: str, open_image: Callable[[], Image.Image], image_size: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        return decode(open_image, image_size)
    except Undecodable as error:
        raise UserError(
            f"{where}: the image cannot be decoded ({error}): replace or remove it"
        ) from error


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
