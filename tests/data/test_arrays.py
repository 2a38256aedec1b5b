import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import metaug.data.arrays
from metaug.data.arrays import balanced_subset, open_prepared, verify
from metaug.data.digits_m import make_digits_m
from metaug.data.prepare import prepare
from metaug.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "digits_m"
    prepare("digits_m", 32, folder, None)
    return folder


@pytest.fixture
def damaged(prepared, tmp_path):
    """A copy to damage."""
    return shutil.copytree(prepared, tmp_path / "digits_m")


def message_of(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_opening_gives_what_was_prepared(prepared):
    data = open_prepared(prepared)
    assert data.image_size == 32
    assert data.class_names == tuple("0123456789")
    for name, (images, labels) in make_digits_m().items():
        split = getattr(data, name)
        assert np.array_equal(split.images, images)
        assert np.array_equal(split.labels, labels)


def test_images_are_memory_mapped_and_read_only(prepared):
    split = open_prepared(prepared).train
    assert isinstance(split.images, np.memmap)
    assert split.images.dtype == np.uint8
    assert split.images.flags.c_contiguous
    assert not split.images.flags.writeable
    assert split.labels.dtype == np.int64


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "train_labels.npy", "test_labels.npy"])
def test_an_array_cut_short_is_named_with_what_to_do(damaged, name):
    with (damaged / name).open("r+b") as file:
        file.truncate(1000)
    message = message_of(open_prepared, damaged)
    assert f"{damaged / name} has 1,000 bytes" in message
    assert f"delete {damaged} and run again" in message


def test_a_missing_array_is_named(damaged):
    (damaged / "test.npy").unlink()
    assert str(damaged / "test.npy") in message_of(open_prepared, damaged)
    assert str(damaged / "test.npy") in message_of(verify, damaged)


def test_an_array_of_the_right_size_with_another_header_is_refused(damaged):
    path = damaged / "train.npy"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(1297, 32, 32, 3)", b"(1297, 32, 16, 6)"))
    assert str(path) in message_of(open_prepared, damaged)
    path.write_bytes(bytes(len(data)))
    assert str(path) in message_of(open_prepared, damaged)


def test_a_folder_without_manifest_is_not_prepared(damaged):
    (damaged / "manifest.json").unlink()
    for function in (open_prepared, verify):
        message = message_of(function, damaged)
        assert str(damaged) in message
        assert "no manifest.json" in message


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"files": {}}', '{"files": 3}', "[" * 100_000]
)
def test_a_damaged_manifest_is_named(damaged, content):
    (damaged / "manifest.json").write_text(content)
    for function in (open_prepared, verify):
        assert f"{damaged / 'manifest.json'} is damaged" in message_of(function, damaged)


@pytest.mark.parametrize(
    "key, value",
    [
        ("class_names", "0123456789"),
        ("class_names", [["zero"]]),
        ("image_size", "32"),
        ("files", {"train.npy": 3}),
        ("sha256", None),
        ("bytes", "3984512"),
        ("shape", 3),
    ],
)
def test_a_manifest_that_is_json_but_holds_something_else_is_damaged(damaged, key, value):
    path = damaged / "manifest.json"
    manifest = json.loads(path.read_text())
    (manifest if key in manifest else manifest["files"]["train.npy"])[key] = value
    path.write_text(json.dumps(manifest))
    for function in (open_prepared, verify):
        assert f"{path} is damaged" in message_of(function, damaged)


def test_a_manifest_that_names_fewer_classes_than_there_are_is_refused(damaged):
    path = damaged / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_names": ["0", "1"]}))
    message = message_of(open_prepared, damaged)
    assert "train_labels.npy has classes that manifest.json does not name" in message


def test_verify_accepts_what_was_written(prepared):
    verify(prepared)


@pytest.mark.parametrize("name", ["train.npy", "test_labels.npy"])
def test_a_changed_block_is_found_at_the_next_opening(damaged, name):
    open_prepared(damaged)
    with (damaged / name).open("r+b") as file:
        file.seek(-1000, 2)
        file.write(bytes(1000))
    for _ in range(2):
        assert f"{damaged / name} does not have the SHA-256" in message_of(open_prepared, damaged)


def test_a_change_is_found_even_if_the_time_of_change_is_set_back(damaged):
    open_prepared(damaged)
    path = damaged / "train.npy"
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(bytes(1000))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert f"{path} does not have the SHA-256" in message_of(open_prepared, damaged)


def counted(monkeypatch):
    """The names of the files that are read whole from here on."""
    names, digest = [], hashlib.file_digest

    def count(file, algorithm):
        names.append(Path(file.name).name)
        return digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return names


def test_a_copied_folder_is_checked_once_and_an_unchanged_one_never(prepared, damaged, monkeypatch):
    names = counted(monkeypatch)
    open_prepared(prepared)
    assert names == []
    open_prepared(damaged)
    assert sorted(names) == ["test.npy", "test_labels.npy", "train.npy", "train_labels.npy"]
    (damaged / "test.npy").touch()
    open_prepared(damaged)
    open_prepared(damaged)
    assert names[4:] == ["test.npy"]


@pytest.mark.parametrize("content", [None, "", "[]", "3", "{" * 100_000, '{"train.npy": 3}'])
def test_what_was_checked_is_checked_again_where_that_is_not_known(damaged, monkeypatch, content):
    open_prepared(damaged)
    (damaged / "checked.json").unlink()
    if content is not None:
        (damaged / "checked.json").write_text(content)
    names = counted(monkeypatch)
    open_prepared(damaged)
    assert len(names) == 4


def test_arrays_of_another_manifest_are_refused(damaged):
    open_prepared(damaged)
    path = damaged / "manifest.json"
    text = path.read_text()
    digest = text[text.index('"sha256": "') + 11 :][:64]
    path.write_text(text.replace(digest, "0" * 64))
    assert "does not have the SHA-256" in message_of(open_prepared, damaged)


def test_a_folder_that_must_not_be_written_is_checked_all_the_same(damaged, monkeypatch):
    (damaged / "checked.json").unlink()

    def refuse(*arguments, **options):
        raise UserError("cannot write")

    monkeypatch.setattr(metaug.data.arrays, "exclusive", refuse)
    monkeypatch.setattr(metaug.data.arrays, "atomic_write_text", refuse)
    open_prepared(damaged)
    (damaged / "test.npy").write_bytes(bytes((damaged / "test.npy").stat().st_size))
    assert "does not have the SHA-256" in message_of(open_prepared, damaged)


@pytest.mark.parametrize("name", ["train.npy", "test_labels.npy"])
def test_verify_finds_one_changed_byte(damaged, name):
    verify(damaged)
    with (damaged / name).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    assert str(damaged / name) in message_of(verify, damaged)


def test_the_manifest_counts_images_and_classes(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["counts"] == {"train": 1297, "test": 500}
    assert manifest["dataset"] == "digits_m"
    assert len(manifest["class_names"]) == 10


LABELS = np.repeat(np.arange(4), (50, 40, 30, 20))[np.random.default_rng(0).permutation(140)]


def test_a_subset_has_as_many_images_of_every_class():
    subset = balanced_subset(LABELS, 48, generator())
    assert np.bincount(LABELS[subset]).tolist() == [12] * 4


def test_a_subset_is_ascending_and_without_repetition():
    subset = balanced_subset(LABELS, 79, generator())
    assert subset.dtype == np.int64
    assert len(subset) == 79
    assert (np.diff(subset) > 0).all()


def test_the_same_seed_gives_the_same_subset_and_another_seed_another():
    first, again, other = (balanced_subset(LABELS, 40, generator(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_subset_does_not_touch_the_global_generator():
    state = torch.get_rng_state()
    balanced_subset(LABELS, 41, generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_every_image_is_drawn_equally_often_within_its_class():
    drawn = np.zeros(len(LABELS))
    source = generator()
    for _ in range(2000):
        drawn[balanced_subset(LABELS, 40, source)] += 1
    expected = 2000 * 10 / np.bincount(LABELS)[LABELS]
    deviation = np.sqrt(expected * (1 - expected / 2000))
    assert (np.abs(drawn - expected) < 5 * deviation).all()


def test_what_is_left_over_goes_to_classes_drawn_at_random():
    source = generator()
    extra = np.zeros(4)
    for _ in range(400):
        counts = np.bincount(LABELS[balanced_subset(LABELS, 42, source)], minlength=4)
        assert sorted(counts) == [10, 10, 11, 11]
        extra += counts == 11
    assert (np.abs(extra - 200) < 60).all()


def test_what_is_left_over_goes_to_classes_that_have_it():
    labels = np.repeat(np.arange(3), (5, 4, 5))
    for seed in range(20):
        counts = np.bincount(labels[balanced_subset(labels, 14, generator(seed))])
        assert counts.tolist() == [5, 4, 5]


def test_labels_need_not_be_consecutive():
    labels = np.array([7, 7, 3, 3])
    assert sorted(labels[balanced_subset(labels, 2, generator())]) == [3, 7]


@pytest.mark.parametrize("count", [-1, 0, 141])
def test_a_count_out_of_range_is_refused(count):
    message = message_of(balanced_subset, LABELS, count, generator())
    assert f"{count} images" in message
    assert "1 to 140" in message


@pytest.mark.parametrize(
    ("count", "expected"), [(84, [21, 21, 22, 20]), (140, [50, 40, 30, 20]), (110, [30] * 3 + [20])]
)
def test_a_class_with_too_few_images_gives_all_and_the_others_share_the_rest(count, expected):
    counts = np.bincount(LABELS[balanced_subset(LABELS, count, generator())])
    assert counts.sum() == count
    assert sorted(counts) == sorted(expected)
    assert counts[3] == 20


@pytest.mark.parametrize("count", range(1, 141, 7))
def test_a_subset_is_as_balanced_as_its_classes_allow(count):
    counts = np.bincount(LABELS[balanced_subset(LABELS, count, generator())], minlength=4)
    sizes = np.bincount(LABELS)
    assert counts.sum() == count
    assert all(c == size or counts.max() - c <= 1 for c, size in zip(counts, sizes, strict=True))
