"""What users may have by mistake, or from others with ill intent: one line, nothing written."""

import io
import json
import os
import pickle
import re
import socket
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import EpsImagePlugin, Image

from metaug.data import parquet as parquet_source
from metaug.data.arrays import UNAVAILABLE
from metaug.data.prepare import expected_origin, prepare
from metaug.errors import UserError

NAMES = ["cat", "dog"]
LABELS = [0, 1, 0, 1]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PICTURE = saved(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)))
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    b"(pwned) (w) file closefile showpage\n%%EOF\n"
)


def png_header(width, height):
    """A PNG that says how large it is and has next to nothing in it."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


# Makers: each writes a data set below `root` that is right but for what is given


def parquet(images=None, labels=LABELS, names=NAMES, metadata=None, columns=None, file="train"):
    def write(root):
        for split in ("train", "test"):
            own = file == split
            values = images if own and images is not None else [{"bytes": PICTURE}] * 4
            classes = labels if own else LABELS
            table = {
                "image": pa.array(values, IMAGE),
                "label": classes
                if isinstance(classes, pa.Array)
                else pa.array(classes, pa.int64()),
            }
            if own:
                table |= columns or {}
                table = {name: column for name, column in table.items() if column is not None}
            meta = {"class_names": json.dumps(names)} if metadata is None else metadata
            path = root / f"cifar10/{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(table).replace_schema_metadata(meta), path)

    return write


def then(make, change):
    """What `make` writes, changed."""

    def write(root):
        make(root)
        change(root)

    return write


def moved(*pairs):
    return then(parquet(), lambda root: [_move(root / "cifar10", *pair) for pair in pairs])


def _move(folder, old, *new):
    for name in new:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / old).read_bytes())
    (folder / old).unlink()


def contents(data):
    """The training file is not Parquet but this."""
    return then(parquet(), lambda root: (root / "cifar10/train.parquet").write_bytes(data))


def folders(extra=None, dataset="cifar10", test="test"):
    """Class folders; `extra` changes the folder of the data set."""

    def write(root):
        for split in ("train", test):
            for name in NAMES:
                folder = root / dataset / split / name
                folder.mkdir(parents=True)
                (folder / "0.png").write_bytes(PICTURE)
        if extra:
            extra(root / dataset)

    return write


def picture(data, suffix="png"):
    return folders(lambda folder: (folder / f"train/cat/1.{suffix}").write_bytes(data))


def annotated(text):
    """Tiny ImageNet's validation images with a list of their classes."""

    def change(folder):
        (folder / "val/images").mkdir()
        for index in range(2):
            (folder / f"val/images/{index}.png").write_bytes(PICTURE)
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "val/val_annotations.txt").write_bytes(data)

    return folders(change, "tiny-imagenet-200", "val")


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return os.mkdir, (self.made,)


def pickled(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Evil(str(root / "unpickled"))))


def nothing(root):
    pass


undecodable = r"{folder}/train/cat/1\.png: the image cannot be decoded \(%s\): replace or remove it"
row = r"{folder}/train\.parquet, row %s"
train = r"{folder}/train\.parquet"

CASES = {
    # image files
    "empty image": (picture(b""), undecodable % "it is empty"),
    "web page as image": (picture(b"<html>404"), undecodable % "it is none of JPEG, PNG, .*"),
    "image cut short": (picture(PICTURE[:-30]), undecodable % ".*"),
    "EPS as image": (picture(EPS), undecodable % "it is none of JPEG, .*"),
    "GIF as image": (
        picture(saved(Image.new("P", (8, 8)), "GIF")),
        undecodable % "it is none of JPEG, .*",
    ),
    "bomb": (picture(png_header(50_000, 50_000)), undecodable % "it has more than 134,217,728 .*"),
    "smaller bomb": (
        picture(png_header(14_000, 12_000)),
        undecodable % "it has 14,000 x 12,000 pixels: 1 to 134,217,728 are accepted",
    ),
    "image without rows": (picture(png_header(8, 0)), undecodable % ".*"),
    "floating-point image": (
        picture(saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")),
        undecodable % "nothing says which of its floating-point values is white.*",
    ),
    "32-bit image": (
        picture(saved(Image.fromarray(np.ones((8, 8), np.int32)), "TIFF")),
        undecodable % "nothing says which of its integer values is white.*",
    ),
    "link to nothing": (
        folders(lambda folder: (folder / "train/cat/1.png").symlink_to("gone.png")),
        r"{folder}/train/cat/1\.png is a link that leads nowhere .*: mend or remove it",
    ),
    "link to itself": (
        folders(lambda folder: (folder / "train/cat/1.png").symlink_to("1.png")),
        r"{folder}/train/cat/1\.png is a link that leads nowhere .*: mend or remove it",
    ),
    # Parquet files
    "empty file": (contents(b""), rf"cannot read {train}, it is cut short or no Parquet .*"),
    "text file": (contents(b"a,b\n1,2\n"), rf"cannot read {train}, it is cut short .*"),
    "no rows": (parquet([], []), "train of {folder} has no images"),
    "one label": (
        parquet(labels=[1, 1, 1, 1]),
        r"train of {folder}: all images \(4\) are of the class 'dog'; the other 1 have none",
    ),
    "no images column": (
        parquet(columns={"image": None}),
        rf"{train} has no column 'image' or 'img': it has label",
    ),
    "no labels column": (
        parquet(columns={"label": None, "target": pa.array(LABELS)}),
        rf"{train} has no column 'label' or 'fine_label' or 'coarse_label': it has image, target",
    ),
    "labels as text": (
        parquet(columns={"label": pa.array(["0", "1", "0", "1"])}),
        rf"column 'label' of {train} is string: it must be an integer",
    ),
    "labels as fractions": (
        parquet(columns={"label": pa.array([0.0, 1.0, 0.0, 1.0])}),
        rf"column 'label' of {train} is double: it must be an integer",
    ),
    "label missing": (parquet(labels=[0, 1, None, 1]), rf"{row % 2}: the label is missing"),
    "label too large": (
        parquet(labels=[0, 1, 2, 1]),
        rf"{row % 2}: label 2 is not one of the 2 classes, 0 to 1",
    ),
    "label beyond 63 bits": (
        parquet(labels=pa.array([0, 1, 2**64 - 1, 1], pa.uint64())),
        rf"{row % 2}: label -1 is not one of the 2 classes, 0 to 1",
    ),
    "images as text": (
        parquet(columns={"image": pa.array(["a", "b", "c", "d"])}),
        rf"column 'image' of {train} is string: it must be a struct with bytes",
    ),
    "images as numbers": (
        parquet(columns={"image": pa.array([{"bytes": [1, 2]}] * 4)}),
        rf"column 'image\.bytes' of {train} is list<.*>: it must be binary",
    ),
    "path without bytes": (
        parquet([{"path": "../../etc/passwd"}] * 4),
        rf"{row % 0}: the image cannot be decoded \(only its path '\.\./\.\./etc/passwd' is stored,"
        r" not its bytes: export the data set with its images embedded, or as class folders\).*",
    ),
    "neither path nor bytes": (
        parquet([{"bytes": PICTURE}, {"bytes": None}] * 2),
        rf"{row % 1}: the image cannot be decoded \(it is missing\).*",
    ),
    "no image at all": (
        parquet([{"bytes": PICTURE}, None] * 2),
        rf"{row % 1}: the image cannot be decoded \(it is missing\).*",
    ),
    "EPS in Parquet": (
        parquet([{"bytes": PICTURE}, {"bytes": EPS}] * 2),
        rf"{row % 1}: the image cannot be decoded \(it is none of JPEG, .*",
    ),
    "bomb in Parquet": (
        parquet([{"bytes": png_header(30_000, 30_000)}] * 4),
        rf"{row % 0}: the image cannot be decoded \(it has more than 134,217,728 pixels\).*",
    ),
    # class names
    "no class names": (parquet(metadata={}), rf"{train} has no class names: .*"),
    "class names cut short": (parquet(metadata={"class_names": "["}), rf"{train} has no class .*"),
    "class names nested without end": (
        parquet(metadata={"class_names": "[" * 100_000}),
        rf"{train} has no class names: .*",
    ),
    "a text as class names": (
        parquet(names="catanddogs"),
        rf"{train}: the class names are 'catanddogs': they must be a list",
    ),
    "a number as class names": (
        parquet(names=2),
        rf"{train}: the class names are 2: they must be a list",
    ),
    "lists as class names": (
        parquet(names=[["cat"], ["dog"]]),
        rf"{train}: the class name \['cat'\] is no text",
    ),
    "null as class name": (parquet(names=["cat", None]), rf"{train}: the class name None is .*"),
    "ten equal names": (
        parquet(names=["cat"] * 10),
        rf"{train}: 10 classes have the name 'cat'",
    ),
    "names equal but for their Unicode form": (
        parquet(names=["caf\u00e9", "cafe\u0301"]),
        rf"{train}: 2 classes have the name 'caf\u00e9'",
    ),
    "empty class name": (parquet(names=["cat", ""]), rf"{train}: the class name '' cannot be .*"),
    "line break in a class name": (
        parquet(names=["cat", "d\nog"]),
        rf"{train}: the class name 'd\\\\nog' cannot be printed: rename it",
    ),
    "terminal codes in a class name": (
        parquet(names=["cat", "\x1b[31mdog"]),
        rf"{train}: the class name '.*' cannot be printed: rename it",
    ),
    # files of a split
    "no test split": (
        moved(("test.parquet", "other.parquet")),
        r"{folder} has train\.parquet but no test\.parquet",
    ),
    "a shard is missing": (
        moved(("train.parquet", "train-00-of-03-ab1.parquet", "train-02-of-03-ab1.parquet")),
        r"{folder}/train-01-of-03-ab1\.parquet is missing, 2 other shards are there: get it too",
    ),
    "a numbered file is missing": (
        moved(("train.parquet", "train/0000.parquet", "train/0002.parquet")),
        r"{folder}/train/0001\.parquet is missing, 2 other shards are there: get it too",
    ),
    "shards of two exports": (
        moved(("train.parquet", "train-0-of-1-aa.parquet", "train-0-of-1-bb.parquet")),
        r"{folder}/train-0-of-1-bb\.parquet and train-0-of-1-aa\.parquet are shards of different "
        "exports: keep those of one",
    ),
    "exports of two sizes": (
        moved(
            ("train.parquet", "160px/train-0-of-1.parquet", "320px/train-0-of-1.parquet"),
            ("test.parquet", "160px/test-0-of-1.parquet", "320px/test-0-of-1.parquet"),
        ),
        "{folder} has several exports, 160px, 320px: keep one of them there",
    ),
    "FIFO as Parquet": (
        then(
            nothing,
            lambda root: [(root / "cifar10").mkdir(), os.mkfifo(root / "cifar10/train.parquet")],
        ),
        r"data set cifar10 not found \(parquet: no train\.parquet in {folder}; .*",
    ),
    "folder as Parquet": (
        lambda root: (root / "cifar10/train.parquet").mkdir(parents=True),
        r"data set cifar10 not found \(parquet: no train\.parquet in {folder}; .*",
    ),
    # class folders
    "images without class folders": (
        lambda root: [
            (root / "cifar10" / split).mkdir(parents=True) for split in ("train", "test")
        ],
        "{folder}/train has 0 classes: a data set needs at least two",
    ),
    "class folder without images": (
        folders(lambda folder: [(folder / s / "frog").mkdir() for s in ("train", "test")]),
        "{folder}/train has no image of the class 'frog'",
    ),
    "class only in training": (
        folders(lambda folder: (folder / "train/frog").mkdir()),
        "{folder}/train and {folder}/test have different classes: frog is in one of them only",
    ),
    "class name that is not UTF-8": (
        folders(lambda folder: (folder / os.fsdecode(b"train/caf\xe9")).mkdir()),
        r"{folder}/train: the class name 'caf\\\\xe9' cannot be printed: rename it",
    ),
    "class folder with a line break": (
        folders(lambda folder: (folder / "train/a\nb").mkdir()),
        r"{folder}/train: the class name 'a\\\\nb' cannot be printed: rename it",
    ),
    "list of classes that is not UTF-8": (
        annotated(b"0.png\tcaf\xe9\t0\n"),
        r"{root}/tiny-imagenet-200/val/val_annotations\.txt is not UTF-8 text: get it again",
    ),
    "list of classes with an image elsewhere": (
        annotated("../../../secret.png\tcat\t0\n"),
        r".*val_annotations\.txt, line 1: images/ has no image '\.\./.*', or it is listed twice",
    ),
    "list of classes with an image twice": (
        annotated("0.png\tcat\n1.png\tdog\n0.png\tdog\n"),
        r".*val_annotations\.txt, line 3: images/ has no image '0\.png', or it is listed twice",
    ),
    "list of classes without tabs": (
        annotated("0.png cat\n"),
        r".*val_annotations\.txt, line 1: '\?' is no class folder in train/",
    ),
    "empty list of classes": (annotated(""), r".*/val has no images"),
    # CIFAR's pickles
    "pickles of another": (
        pickled,
        r"{root}/cifar-10-batches-py is not complete or damaged \(the published check sums do not "
        r"hold\): .*",
    ),
    "binary version of CIFAR": (
        lambda root: (root / "cifar10/cifar-10-batches-bin").mkdir(parents=True),
        r"data set cifar10 not found .* with Parquet \(train\.parquet, .*\) or class folders \(.*\)"
        r" or the authors' files \(cifar-10-batches-py/, .*\)",
    ),
}


@pytest.fixture(autouse=True)
def no_network_and_no_ghostscript(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", pytest.fail)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_line_and_writes_nothing(tmp_path, case):
    make, expected = CASES[case]
    root = tmp_path / "root"
    root.mkdir()
    make(root)
    dataset = "tiny_imagenet" if (root / "tiny-imagenet-200").exists() else "cifar10"
    with pytest.raises(UserError) as error:
        prepare(dataset, 8, tmp_path / "out", root)
    message = str(error.value)
    assert message.isprintable()
    assert re.fullmatch(expected.format(root=root, folder=root / "cifar10"), message), message
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    assert not (tmp_path / "torchvision").exists()
    assert not (root / "unpickled").exists()


def test_a_file_that_says_it_has_billions_of_rows_is_not_read(tmp_path, monkeypatch):
    parquet()(tmp_path)
    monkeypatch.setattr(parquet_source, "_MOST_ROWS", 3)
    with pytest.raises(UserError, match=r"train\.parquet has 4 rows: at most 3 are read"):
        prepare("cifar10", 8, tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("nowhere", "data_root {root} does not exist: correct it in .*"),
        ("a file", "data_root {root} is no folder: correct it in .*"),
        ("a loop", "data_root {root} does not exist: correct it in .*"),
        ("x" * 5000, "cannot read .*x: File name too long"),
        ("nul\0", r".*nul\\x00 does not exist: correct it in .*"),
    ],
)
def test_a_data_root_that_is_no_folder_is_named(tmp_path, root, expected):
    (tmp_path / "a file").touch()
    (tmp_path / "a loop").symlink_to("a loop")
    path = tmp_path / root
    with pytest.raises(UserError) as error:
        prepare("cifar10", 8, tmp_path / "out", path)
    assert re.fullmatch(expected.format(root=path), str(error.value)), str(error.value)
    said = expected_origin("cifar10", tmp_path / "out", path, ("parquet", "folder"))
    assert said == f"{UNAVAILABLE}{error.value}"
    assert not (tmp_path / "out").exists()
