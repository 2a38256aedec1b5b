"""The layouts that people have, each read as the same data set."""

import io
import json
import os
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metaug.data.datasets import DATASETS
from metaug.data.prepare import prepare
from metaug.data.sources import find, locate

NAMES = ("cat", "dog")
LABELS = {"train": [0, 1, 1, 0], "test": [1, 0]}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(value, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 255 - value, 7)).save(file, kind)
    return file.getvalue()


def pictures(split):
    return [picture(10 * label + len(split)) for label in LABELS[split]]


def hub(path, split, image="image", label="label", others=(), rows=slice(None)):
    """A file as the Hub has it, with the names of the classes in its features."""
    features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": NAMES}}
    table = {
        image: pa.array([{"bytes": b, "path": None} for b in pictures(split)[rows]], IMAGE),
        label: pa.array(LABELS[split][rows], pa.int64()),
    }
    for name in others:
        table[name] = pa.array([0] * len(table[label]), pa.int64())
        features[name] = {"_type": "ClassLabel", "names": ["other", "another"]}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    "files",
    [
        {"train.parquet": "train", "test.parquet": "test"},
        {"train-00000-of-00001.parquet": "train", "test-00000-of-00001.parquet": "test"},
        {
            "data/train-00000-of-00001-1359597a978bc4fa.parquet": "train",
            "data/valid-00000-of-00001-70d52db3c749a935.parquet": "test",
        },
        {
            "plain_text/train-00000-of-00001.parquet": "train",
            "plain_text/test-00000-of-00001.parquet": "test",
        },
        {
            "default/train/0000.parquet": "train",
            "default/validation/0000.parquet": "test",
        },
        {"train/0000.parquet": "train", "test/0000.parquet": "test"},
        {"cifar10/train-0-of-1.parquet": "train", "cifar10/test-000000-of-000001.parquet": "test"},
    ],
)
def test_names_of_parquet_files(tmp_path, files):
    for name, split in files.items():
        hub(tmp_path / "cifar10" / name, split)
    raw = find(DATASETS["cifar10"], tmp_path, ["parquet", "folder"], "nowhere")
    assert raw.class_names == NAMES
    assert raw.train.labels.tolist() == LABELS["train"]
    assert raw.test.labels.tolist() == LABELS["test"]


@pytest.mark.parametrize(
    "pattern", ["train-{}-of-2.parquet", "train-0{}-of-02-abc.parquet", "train/000{}.parquet"]
)
def test_shards_of_any_name_are_joined_in_their_order(tmp_path, pattern):
    for number, rows in enumerate((slice(0, 3), slice(3, 4))):
        hub(tmp_path / "cifar10" / pattern.format(number), "train", rows=rows)
    hub(tmp_path / "cifar10/test.parquet", "test")
    raw = find(DATASETS["cifar10"], tmp_path, ["parquet"], "nowhere")
    assert raw.train.labels.tolist() == LABELS["train"]


@pytest.mark.parametrize(
    "image, label, others",
    [
        ("img", "label", ()),
        ("img", "fine_label", ("coarse_label",)),
        ("image", "fine_label", ("label",)),
        ("image", "label", ("coarse_label",)),
        ("image", "coarse_label", ()),
    ],
)
def test_names_of_columns(tmp_path, image, label, others):
    for split in ("train", "test"):
        hub(tmp_path / f"cifar100/{split}.parquet", split, image, label, others)
    prepare("cifar100", 8, tmp_path / "out", tmp_path)
    raw = find(DATASETS["cifar100"], tmp_path, ["parquet"], "nowhere")
    assert raw.class_names == NAMES
    assert raw.train.labels.tolist() == LABELS["train"]


def class_folders(root, split="train", names=NAMES):
    for label, name in enumerate(names):
        folder = root / split / name
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(picture(label))


def folders(tmp_path):
    root = tmp_path / "cifar10"
    for split in ("train", "test"):
        class_folders(root, split)
    return root


def count_and_skipped(tmp_path):
    raw = find(DATASETS["cifar10"], tmp_path, ["folder"], "nowhere")
    images = sum(1 for _ in raw.train.images())
    assert images == len(raw.train.labels)
    return np.bincount(raw.train.labels).tolist(), raw.skipped.counts


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "tif", "tiff", "ppm"])
def test_images_of_every_usual_ending_count(tmp_path, suffix):
    (folders(tmp_path) / f"train/cat/1.{suffix}").write_bytes(picture(3))
    assert count_and_skipped(tmp_path) == ([2, 1], {})


def test_images_behind_linked_folders_and_links_to_images_count(tmp_path):
    root = folders(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "1.png").write_bytes(picture(1))
    (elsewhere / "deep/2.png").write_bytes(picture(2))
    (root / "train/cat/more").symlink_to(elsewhere)
    (root / "train/dog/3.png").symlink_to(elsewhere / "1.png")
    assert count_and_skipped(tmp_path) == ([3, 2], {})


def test_a_whole_class_and_a_whole_split_may_be_links(tmp_path):
    root = folders(tmp_path)
    (root / "train/cat").rename(tmp_path / "cat")
    (root / "train/cat").symlink_to(tmp_path / "cat")
    (root / "test").rename(tmp_path / "test")
    (root / "test").symlink_to(tmp_path / "test")
    assert count_and_skipped(tmp_path) == ([1, 1], {})


def test_loops_of_links_end_and_are_named(tmp_path):
    root = folders(tmp_path)
    (root / "train/cat/again").symlink_to(root / "train/cat")
    (root / "train/cat/up").symlink_to(root)
    (root / "train/all").symlink_to(root / "train")
    counts, skipped = count_and_skipped(tmp_path)
    assert counts == [1, 1]
    assert skipped == {
        "linked back to a folder above": 1,
        "linked back to a folder that is read already": 2,
    }


def test_what_is_passed_over_is_counted_and_named(tmp_path, capsys):
    root = folders(tmp_path)
    (root / "train/cat/notes.txt").write_text("a cat")
    (root / "train/cat/raw.dng").write_bytes(b"")
    (root / "train/cat/.DS_Store").write_bytes(b"")
    (root / "train/loose.png").write_bytes(picture(1))
    os.mkfifo(root / "train/dog/x.jpg")
    prepare("cifar10", 8, tmp_path / "out", tmp_path)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    start = f"{tmp_path / 'out'}: 2 training and 2 test images of 2 classes from folder {root}; "
    assert line.startswith(f"{start}skipped: ")
    for part in (
        f"2 no image by its name ({root}/train/cat/",
        f"1 hidden ({root}/train/cat/.DS_Store)",
        f"1 outside of the class folders ({root}/train/loose.png)",
        f"1 not an ordinary file ({root}/train/dog/x.jpg)",
    ):
        assert part in line
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert sum(manifest["skipped"].values()) == 5


def test_names_in_html_and_latex_are_names_like_others(tmp_path, capsys):
    names = [r"\input{x} & 50% $_^#~", "<img src=x onerror=alert(1)>"]
    for split in ("train", "test"):
        for name in names:
            folder = tmp_path / "cifar10" / split / name
            folder.mkdir(parents=True)
            (folder / "<b>&amp;.png").write_bytes(picture(1))
    prepare("cifar10", 8, tmp_path / "out", tmp_path)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["class_names"] == sorted(names)
    assert capsys.readouterr().out.count("\n") == 1


def test_images_that_tiny_imagenet_does_not_list_are_named(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    class_folders(root)
    (root / "val/images").mkdir(parents=True)
    for name in ("0.png", "1.png", "2.png"):
        (root / "val/images" / name).write_bytes(picture(1))
    (root / "val/val_annotations.txt").write_text("0.png\tcat\t0\r\n\r\n1.png\tdog\t0\r\n")
    raw = find(DATASETS["tiny_imagenet"], tmp_path, ["folder"], "nowhere")
    assert raw.test.labels.tolist() == [0, 1]
    assert raw.skipped.counts == {"not in val_annotations.txt": 1}


def test_names_that_differ_in_their_unicode_form_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    root = tmp_path / "cifar10"
    class_folders(root, "train", [composed, "dog"])
    class_folders(root, "test", [decomposed, "dog"])
    (root / "train" / decomposed).mkdir()
    (root / "train" / decomposed / "9.png").write_bytes(picture(9))
    raw = find(DATASETS["cifar10"], tmp_path, ["folder"], "nowhere")
    assert raw.class_names == (composed, "dog")
    assert raw.train.labels.tolist() == [0, 0, 1]
    assert raw.test.labels.tolist() == [0, 1]


def test_file_names_that_are_not_utf8_are_read(tmp_path, capsys):
    root = folders(tmp_path)
    (root / "train/cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(picture(5))
    (root / "train/cat" / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"")
    prepare("cifar10", 8, tmp_path / "out", tmp_path)
    assert r"caf\xe9.txt" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/manifest.json").read_text())["counts"]["train"] == 3


def key(tmp_path):
    return locate(DATASETS["cifar10"], tmp_path, ["folder"], "nowhere").origin.key


def test_the_origin_changes_with_any_file_that_is_read_and_with_no_other(tmp_path):
    root = folders(tmp_path)
    keys = [key(tmp_path)]
    (root / "train/cat/notes.txt").write_text("no image")
    assert key(tmp_path) == keys[0]
    (root / "train/cat/1.png").write_bytes(picture(1))
    keys.append(key(tmp_path))
    os.utime(root / "train/cat/1.png", ns=(0, 10**18))
    keys.append(key(tmp_path))
    (root / "train/cat/1.png").rename(root / "train/cat/2.png")
    keys.append(key(tmp_path))
    (root / "train/cat/2.png").rename(root / "train/dog/2.png")
    keys.append(key(tmp_path))
    assert len(set(keys)) == len(keys)
