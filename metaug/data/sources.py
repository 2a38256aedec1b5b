"""Where the images of a data set come from: the first of several sources that has it.

Each source looks in `data_root`, in the folders that `metaug.data.datasets` names:

* `parquet`: Parquet files in the Hugging Face image convention (`metaug.data.parquet`).
* `folder`: class folders (`metaug.data.folder`).
* `torchvision`: `cifar10`, `cifar100` and `stl10` as their authors publish them, in `data_root` or
  else downloaded (`metaug.data.published`).

The training split is called `train`; `Dataset.test_splits` are the names tried for the other.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from metaug.data import folder, parquet, published
from metaug.data.datasets import DATASETS, Dataset
from metaug.data.origin import shown
from metaug.data.raw import Located, NotHere, RawDataset, Source
from metaug.errors import UserError

_SOURCES: dict[str, Source] = {
    "parquet": parquet.locate_parquet,
    "folder": folder.locate_folder,
    "torchvision": published.locate_published,
}


class NotFound(UserError):
    """No source has the data set; the message says where it was looked for and what would do.

    Attributes:
        tried: what each source said.
    """

    tried: str = ""


def locate(
    dataset: Dataset, data_root: Path | str | None, sources: Sequence[str], cache: Path | str
) -> Located:
    """Find a data set in the first of `sources` that has it.

    Folders are listed, but no file is opened and nothing is downloaded. (52,000 files in class
    folders took 0.3 to 0.5 seconds of one core.)

    Args:
        dataset: what to look for.
        data_root: the folder that holds the data sets, if there is one.
        sources: names out of `parquet`, `folder`, `torchvision`, in the order of trying.
        cache: folder for what torchvision downloads.

    Raises:
        NotFound: no source has the data set (names each place, what is wrong there and what would
            be read).
        UserError: `data_root` does not exist, or what is there is not complete.
    """
    root = None if data_root is None else Path(data_root)
    with _reading():
        if root is not None and not root.is_dir():
            raise UserError(
                f"data_root {shown(root)} {'is no folder' if root.exists() else 'does not exist'}: "
                "correct it in config/config.yaml, METAUG_DATA_ROOT or on the command line"
            )
    if not sources:
        raise UserError(f"sources is empty: name one or more of {', '.join(_SOURCES)}")
    reasons: dict[str, list[str]] = {}
    for source in sources:
        if source not in _SOURCES:
            raise UserError(f"unknown data source {source!r}: choose from {', '.join(_SOURCES)}")
        try:
            with _reading():
                found = _SOURCES[source](dataset, root, Path(cache))
        except NotHere as reason:
            reasons.setdefault(str(reason), []).append(source)
        else:
            return replace(found, load=partial(_load, dataset, found, source, reasons))
    raise _not_found(dataset, reasons)


def find(
    dataset: Dataset, data_root: Path | str | None, sources: Sequence[str], cache: Path | str
) -> RawDataset:
    """Find a data set, as `locate`, and read its labels and class names; no image is read yet.

    Raises:
        UserError: as `locate`; or the data set is damaged: truncated, without labels or class
            names, fewer than two classes, a class without images, other classes in `test` than in
            `train`; or it cannot be downloaded.
    """
    return locate(dataset, data_root, sources, cache).load()


def _load(
    dataset: Dataset, found: Located, source: str, reasons: dict[str, list[str]]
) -> RawDataset:
    try:
        with _reading():
            return found.load()
    except NotHere as reason:  # it cannot be downloaded
        raise _not_found(dataset, {**reasons, str(reason): [source]}) from reason


def _not_found(dataset: Dataset, reasons: dict[str, list[str]]) -> NotFound:
    tried = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    folders = folder.LAYOUT if dataset.splits_itself else folder.LAYOUT_WITHOUT_SPLITS
    layouts = [parquet.LAYOUT, folders]
    if dataset.name in published.PUBLISHED:
        layouts.append(published.LAYOUT.format(published.PUBLISHED[dataset.name][1]))
    close = () if dataset.name in DATASETS else get_close_matches(dataset.name, DATASETS, n=1)
    hint = "".join(f"; did you mean {name!r}?" for name in close)
    error = NotFound(
        f"data set {dataset.name} not found{hint} ({tried}): set data_root in config/config.yaml "
        f"or METAUG_DATA_ROOT to the folder that holds {dataset.folders[0]}/, with "
        f"{' or '.join(layouts)}"
    )
    error.tried = tried
    return error


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {shown(error.filename or '')}: {error.strerror}") from error
