"""Every layout is written here by hand, as its publisher documents it."""

import hashlib
import http.client
import io
import json
import os
import pickle
import socket

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision.datasets
from PIL import Image

from metaug.data.datasets import DATASETS
from metaug.data.sources import find
from metaug.errors import UserError

NAMES = ["cat", "dog", "frog"]
LABELS = [0, 1, 2, 1, 0, 2]
ALL = ("parquet", "folder", "torchvision")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pictures(count, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def table(images, labels, metadata):
    structs = [{"bytes": png(image), "path": None} for image in images]
    columns = {"image": pa.array(structs, IMAGE), "label": pa.array(labels, pa.int64())}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_parquet(path, images=None, labels=LABELS, names=NAMES):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pictures(len(labels)) if images is None else images
    pq.write_table(table(images, labels, {"class_names": json.dumps(names)}), path)


def write_folder(folder, images, labels, names=NAMES, suffix="png"):
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / names[label] / f"{index:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))


def look(root, dataset="cifar10", sources=ALL):
    return find(DATASETS[dataset], root, sources, root / "cache")


def error_of(*arguments, **options):
    with pytest.raises(UserError) as error:
        look(*arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


def pixels(split):
    return np.stack([np.asarray(open_image().convert("RGB")) for _, open_image in split.images()])


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test here may reach out."""

    def refuse(*arguments, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


# Parquet


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_parquet_gives_labels_classes_and_images_in_order(tmp_path, test):
    images = pictures(6)
    write_parquet(tmp_path / "cifar10/train.parquet", images)
    write_parquet(tmp_path / f"cifar10/{test}.parquet", images[:3], [2, 1, 0])
    raw = look(tmp_path)
    assert raw.class_names == tuple(NAMES)
    assert str(raw.origin) == f"parquet {tmp_path / 'cifar10'}"
    assert raw.train.labels.dtype == np.int64
    assert raw.train.labels.tolist() == LABELS
    assert raw.test.labels.tolist() == [2, 1, 0]
    assert np.array_equal(pixels(raw.train), images)
    assert np.array_equal(pixels(raw.test), images[:3])


def test_images_can_be_gone_through_again(tmp_path):
    write_parquet(tmp_path / "cifar10/train.parquet")
    write_parquet(tmp_path / "cifar10/test.parquet")
    raw = look(tmp_path)
    assert np.array_equal(pixels(raw.train), pixels(raw.train))


def test_parquet_shards_are_joined_in_their_order(tmp_path):
    images = pictures(6)
    for shard in range(3):
        path = tmp_path / f"cifar10/train-{shard:05d}-of-00003.parquet"
        write_parquet(path, images[2 * shard : 2 * shard + 2], LABELS[2 * shard : 2 * shard + 2])
    write_parquet(tmp_path / "cifar10/test-00000-of-00001.parquet")
    raw = look(tmp_path)
    assert raw.train.labels.tolist() == LABELS
    assert np.array_equal(pixels(raw.train), images)


def test_a_missing_parquet_shard_is_named(tmp_path):
    for shard in (0, 2):
        write_parquet(tmp_path / f"cifar10/train-{shard:05d}-of-00003.parquet")
    write_parquet(tmp_path / "cifar10/test.parquet")
    assert str(tmp_path / "cifar10/train-00001-of-00003.parquet") in error_of(tmp_path)


def test_class_names_are_also_read_from_hugging_face_features(tmp_path):
    features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (tmp_path / "cifar10").mkdir()
    for split in ("train", "test"):
        path = tmp_path / f"cifar10/{split}.parquet"
        pq.write_table(table(pictures(6), LABELS, metadata), path)
    assert look(tmp_path).class_names == tuple(NAMES)


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{}"}, {"class_names": "["}])
def test_a_parquet_file_without_class_names_is_named(tmp_path, metadata):
    (tmp_path / "cifar10").mkdir()
    for split in ("train", "test"):
        path = tmp_path / f"cifar10/{split}.parquet"
        pq.write_table(table(pictures(6), LABELS, metadata), path)
    assert f"{tmp_path / 'cifar10/train.parquet'} has no class names" in error_of(tmp_path)


def test_tiny_imagenet_is_found_under_both_names_and_prefers_val_to_test(tmp_path):
    for folder in ("tiny_imagenet", "tiny-imagenet-200"):
        for split in ("train", "test"):
            write_parquet(tmp_path / folder / f"{split}.parquet")
        write_parquet(tmp_path / folder / "val.parquet", labels=[2, 0, 1])
        raw = look(tmp_path, "tiny_imagenet")
        assert str(raw.origin) == f"parquet {tmp_path / folder}"
        assert raw.test.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_parquet_file_is_named(tmp_path, kept):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"cifar10/{split}.parquet")
    path = tmp_path / "cifar10/test.parquet"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    message = error_of(tmp_path)
    assert f"cannot read {path}" in message
    assert "get it again" in message


def test_a_parquet_file_damaged_within_is_named_when_it_is_read(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"cifar10/{split}.parquet")
    raw = look(tmp_path)
    path = tmp_path / "cifar10/train.parquet"
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"cannot read .*train\.parquet"):
        pixels(raw.train)


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_missing_parquet_column_is_named(tmp_path, column):
    write_parquet(tmp_path / "cifar10/test.parquet")
    path = tmp_path / "cifar10/train.parquet"
    full = table(pictures(6), LABELS, {"class_names": json.dumps(NAMES)})
    pq.write_table(full.drop_columns([column]), path)
    assert f"{path} has no column '{column}'" in error_of(tmp_path)


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_parquet_column_of_the_wrong_type_is_named(tmp_path, column):
    write_parquet(tmp_path / "cifar10/test.parquet")
    path = tmp_path / "cifar10/train.parquet"
    full = table(pictures(6), LABELS, {"class_names": json.dumps(NAMES)})
    index = full.column_names.index(column)
    pq.write_table(full.set_column(index, column, pa.array(list("abcdef"))), path)
    assert f"column '{column}' of {path} is string" in error_of(tmp_path)


@pytest.mark.parametrize("label, reason", [(None, "missing"), (3, "label 3"), (-1, "label -1")])
def test_a_bad_label_is_named_with_its_row(tmp_path, label, reason):
    write_parquet(tmp_path / "cifar10/train.parquet")
    path = tmp_path / "cifar10/test.parquet"
    write_parquet(path, labels=[0, 1, 2, 0, label, 1])
    message = error_of(tmp_path)
    assert f"{path}, row 4" in message
    assert reason in message


def test_train_and_test_must_have_the_same_class_names(tmp_path):
    write_parquet(tmp_path / "cifar10/train.parquet")
    write_parquet(tmp_path / "cifar10/test.parquet", names=["cat", "dog", "horse"])
    assert "train and test" in error_of(tmp_path)


def test_a_train_split_without_a_test_split_is_named(tmp_path):
    write_parquet(tmp_path / "cifar10/train.parquet")
    assert f"{tmp_path / 'cifar10'} has train.parquet but no test.parquet" in error_of(tmp_path)


@pytest.mark.parametrize("names, count", [(["cat"], "1 class:"), ([], "0 classes:")])
def test_fewer_than_two_classes_are_refused(tmp_path, names, count):
    for split in ("train", "test"):
        labels = [0] * (3 * len(names))
        write_parquet(tmp_path / f"cifar10/{split}.parquet", labels=labels, names=names)
    assert count in error_of(tmp_path)


def test_more_classes_than_the_data_set_has_are_refused(tmp_path):
    for split in ("train", "test"):
        path = tmp_path / f"cifar10/{split}.parquet"
        write_parquet(path, labels=list(range(11)), names=list("abcdefghijk"))
    message = error_of(tmp_path)
    assert "11 classes" in message
    assert "cifar10 has 10" in message


def test_a_class_without_images_is_named(tmp_path):
    write_parquet(tmp_path / "cifar10/train.parquet")
    write_parquet(tmp_path / "cifar10/test.parquet", labels=[0, 2])
    assert "no image of the class 'dog'" in error_of(tmp_path)


# Image folder


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG"])
def test_an_image_folder_has_its_classes_in_the_order_of_their_names(tmp_path, suffix):
    images = pictures(6)
    write_folder(tmp_path / "imagenet/train", images, LABELS, suffix=suffix)
    write_folder(tmp_path / "imagenet/val", images[:3], [2, 1, 0], suffix=suffix)
    raw = look(tmp_path, "imagenet")
    assert raw.class_names == ("cat", "dog", "frog")
    assert raw.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.test.labels.tolist() == [0, 1, 2]
    assert np.array_equal(pixels(raw.train), images[[0, 4, 1, 3, 2, 5]])
    assert np.array_equal(pixels(raw.test), images[[2, 1, 0]])


def test_files_that_are_no_images_and_hidden_ones_are_passed_over(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "cifar10" / split, pictures(6), LABELS)
        (tmp_path / "cifar10" / split / "cat/notes.txt").write_text("a cat")
        (tmp_path / "cifar10" / split / "cat/._000.png").write_bytes(b"resource fork")
        (tmp_path / "cifar10" / split / ".thumbnails").mkdir()
        (tmp_path / "cifar10" / split / "list.csv").write_text("")
    raw = look(tmp_path)
    assert raw.class_names == tuple(NAMES)
    assert len(raw.train.labels) == len(pixels(raw.train)) == 6


def test_tiny_imagenet_is_read_as_it_is_unpacked(tmp_path):
    images = pictures(6)
    root = tmp_path / "tiny-imagenet-200"
    for index, label in enumerate(LABELS):
        path = root / "train" / NAMES[label] / "images" / f"{index}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(images[index]))
    (root / "val/images").mkdir(parents=True)
    lines = []
    for index, label in enumerate([1, 2, 0]):
        (root / f"val/images/val_{index}.JPEG").write_bytes(png(images[index]))
        lines.append(f"val_{index}.JPEG\t{NAMES[label]}\t0\t0\t62\t62\n")
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "test/images").mkdir(parents=True)
    raw = look(tmp_path, "tiny_imagenet")
    assert raw.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.test.labels.tolist() == [1, 2, 0]
    assert np.array_equal(pixels(raw.test), images[:3])

    (root / "val/val_annotations.txt").write_text("".join(lines) + "val_3.JPEG\tn0\t0\t0\t9\t9\n")
    assert "val_annotations.txt, line 4: 'n0'" in error_of(tmp_path, "tiny_imagenet")


def test_a_folder_with_one_class_is_refused(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "cifar10" / split, pictures(2), [0, 0])
    assert f"{tmp_path / 'cifar10/train'} has 1 class:" in error_of(tmp_path)


def test_an_empty_split_folder_is_refused(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "cifar10" / split).mkdir(parents=True)
    assert f"{tmp_path / 'cifar10/train'} has 0 classes:" in error_of(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "cifar10" / split, pictures(6), LABELS)
        (tmp_path / "cifar10" / split / "horse").mkdir()
    assert f"{tmp_path / 'cifar10/train'} has no image of the class 'horse'" in error_of(tmp_path)


def test_image_folders_with_different_classes_are_refused(tmp_path):
    write_folder(tmp_path / "cifar10/train", pictures(6), LABELS)
    write_folder(tmp_path / "cifar10/test", pictures(6), LABELS, ["cat", "dog", "horse"])
    message = error_of(tmp_path)
    assert "different classes" in message
    assert "frog" in message


def test_an_image_folder_without_a_test_split_is_named(tmp_path):
    write_folder(tmp_path / "cifar10/train", pictures(6), LABELS)
    assert f"{tmp_path / 'cifar10'} has train/ but no test/" in error_of(tmp_path)


# torchvision


def write_stl10(root, monkeypatch):
    """STL-10's binary format: images column by column, channel by channel; labels from 1.

    torchvision checks the MD5 of every file against class attributes, so those of this small set
    stand in for them here; the check itself is torchvision's.
    """
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    images = {"train": pictures(4, 96), "test": pictures(2, 96, seed=1)}
    labels = {"train": [1, 0, 1, 0], "test": [0, 1]}
    for split, array in images.items():
        (folder / f"{split}_X.bin").write_bytes(array.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(label + 1 for label in labels[split]))
    (folder / "unlabeled_X.bin").write_bytes(bytes(96 * 96 * 3))
    (folder / "class_names.txt").write_text("airplane\nbird\n")

    def listed(*names):
        return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names]

    trained = listed("train_X.bin", "train_y.bin", "unlabeled_X.bin")
    monkeypatch.setattr(torchvision.datasets.STL10, "train_list", trained)
    monkeypatch.setattr(torchvision.datasets.STL10, "test_list", listed("test_X.bin", "test_y.bin"))
    return images, labels


def write_cifar(root, monkeypatch, load, label_key):
    """CIFAR's Python format: pickled dictionaries with rows of 3,072 values, channel by channel."""
    folder = root / load.base_folder
    folder.mkdir(parents=True)
    images = {"train": pictures(4, 32), "test": pictures(2, 32, seed=1)}
    labels = {"train": [1, 0, 1, 0], "test": [0, 1]}
    attributes = {"train": "train_list", "test": "test_list"}
    for split, attribute in attributes.items():
        rows = images[split].transpose(0, 3, 1, 2).reshape(-1, 3072)
        data = pickle.dumps({"data": rows, label_key: labels[split]})
        (folder / split).write_bytes(data)
        monkeypatch.setattr(load, attribute, [[split, hashlib.md5(data).hexdigest()]])
    meta = pickle.dumps({load.meta["key"]: ["apple", "bee"]})
    (folder / load.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(load, "meta", load.meta | {"md5": hashlib.md5(meta).hexdigest()})
    return images, labels


@pytest.mark.parametrize("place", ["data_root", "cache", "folder", "folder itself"])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "stl10"])
def test_torchvision_s_files_are_read_without_network(tmp_path, monkeypatch, dataset, place):
    root = {"data_root": tmp_path, "cache": tmp_path / "cache"}.get(place, tmp_path / dataset)
    if dataset == "stl10":
        images, labels = write_stl10(root, monkeypatch)
    else:
        load = getattr(torchvision.datasets, dataset.upper())
        key = "labels" if dataset == "cifar10" else "fine_labels"
        images, labels = write_cifar(root, monkeypatch, load, key)
    if place == "folder itself":
        (published,) = root.iterdir()
        published.rename(tmp_path / "published")
        root.rmdir()
        (tmp_path / "published").rename(root)
    raw = look(tmp_path, dataset)
    assert str(raw.origin).startswith(f"torchvision {root}")
    assert len(raw.class_names) == 2
    for name in ("train", "test"):
        split = getattr(raw, name)
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == labels[name]
        assert np.array_equal(pixels(split), images[name])


def test_stl10_is_read_without_its_unlabelled_images(tmp_path, monkeypatch):
    images, _ = write_stl10(tmp_path, monkeypatch)
    (tmp_path / "stl10_binary/unlabeled_X.bin").unlink()
    assert np.array_equal(pixels(look(tmp_path, "stl10").train), images["train"])


def test_torchvision_s_files_in_data_root_that_are_damaged_are_named(tmp_path, monkeypatch):
    write_stl10(tmp_path, monkeypatch)
    path = tmp_path / "stl10_binary/test_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    message = error_of(tmp_path, "stl10")
    assert str(tmp_path / "stl10_binary") in message
    assert "damaged" in message


@pytest.mark.parametrize(
    "failure, reason",
    [
        (OSError("Network is unreachable"), "Network is unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.IncompleteRead(b""), "IncompleteRead"),
        (RuntimeError("File not found\nor corrupted."), "File not found or corrupted."),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_failed_download_becomes_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, failure, reason
):
    timeouts = []

    def fail(*arguments, **options):
        timeouts.append(socket.getdefaulttimeout())
        raise failure

    monkeypatch.setattr(socket, "create_connection", fail)
    message = error_of(tmp_path, "cifar10", ["torchvision"])
    assert "data set cifar10 not found (torchvision: cannot download https://" in message
    assert reason in message
    assert not (tmp_path / "cache").exists()
    assert timeouts[0] is not None, "a network that never answers must not block for ever"
    assert socket.getdefaulttimeout() is None


# The order of sources, and nothing found


def test_sources_are_tried_in_the_order_given(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"cifar10/{split}.parquet")
        write_folder(tmp_path / "cifar10" / split, pictures(6), LABELS)
    assert str(look(tmp_path, sources=["parquet", "folder"]).origin).startswith("parquet")
    assert str(look(tmp_path, sources=["folder", "parquet"]).origin).startswith("folder")


def test_a_source_that_does_not_have_the_data_set_is_passed_over(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "cifar10" / split, pictures(6), LABELS)
    assert str(look(tmp_path).origin) == f"folder {tmp_path / 'cifar10'}"


def test_a_folder_that_must_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "cifar10/train").mkdir(parents=True)
    (tmp_path / "cifar10/test").mkdir()

    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("train"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert f"cannot read {tmp_path / 'cifar10/train'}: Permission denied" in error_of(tmp_path)


def test_no_image_is_opened_to_find_a_data_set(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "cifar10" / split, pictures(6), LABELS)
        (tmp_path / "cifar10" / split / "cat/000.png").write_bytes(b"no image")
    assert look(tmp_path).train.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_nothing_found_names_every_place_and_what_to_do(tmp_path):
    (tmp_path / "cifar10").mkdir()
    message = error_of(tmp_path)
    assert "data set cifar10 not found" in message
    assert f"parquet: no train.parquet in {tmp_path / 'cifar10'}" in message
    assert f"folder: no train/ in {tmp_path / 'cifar10'}" in message
    assert f"torchvision: cannot download {torchvision.datasets.CIFAR10.url}" in message
    assert f"into {tmp_path / 'cache'} (urlopen error Network is unreachable)" in message
    assert "set data_root in config/config.yaml or METAUG_DATA_ROOT" in message


@pytest.mark.parametrize("sources", [ALL, ["torchvision"]])
def test_a_data_root_that_does_not_exist_is_an_error_and_starts_no_download(
    tmp_path, monkeypatch, sources
):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", pytest.fail)
    message = error_of(tmp_path / "nowhere", "cifar10", sources)
    assert message.startswith(f"data_root {tmp_path / 'nowhere'} does not exist: correct it")
    (tmp_path / "file").touch()
    message = error_of(tmp_path / "file", "cifar10", sources)
    assert message.startswith(f"data_root {tmp_path / 'file'} is no folder: correct it")


def test_a_data_root_without_the_data_set_names_the_folders_looked_for(tmp_path):
    message = error_of(tmp_path, "tiny_imagenet")
    folders = f"{tmp_path / 'tiny-imagenet-200'} or {tmp_path / 'tiny_imagenet'}"
    assert f"parquet, folder: no folder {folders}" in message


def test_no_data_root_is_said(tmp_path):
    with pytest.raises(UserError, match="parquet, folder: data_root is not set"):
        find(DATASETS["imagenet"], None, ALL, tmp_path / "cache")


def test_an_unknown_source_is_named(tmp_path):
    assert "unknown data source 'tar'" in error_of(tmp_path, sources=["tar"])
