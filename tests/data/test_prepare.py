import hashlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import metaug.data.prepare
from metaug.data.arrays import open_prepared, require_origin, verify
from metaug.data.datasets import DATASETS
from metaug.data.digits_m import make_digits_m
from metaug.data.prepare import expected_origin, prepare
from metaug.data.sources import find
from metaug.errors import UserError

NAMES = ["cat", "dog"]


def pictures(count, height=8, width=8):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_parquet(path, files, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "image": [{"bytes": file, "path": "a picture"} for file in files],
        "label": pa.array(labels, pa.int64()),
    }
    metadata = {"class_names": json.dumps(NAMES)}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


def write_folder(root, files):
    """The same files in both splits, half of them cats, half dogs."""
    for split in ("train", "test"):
        for index, file in enumerate(files):
            path = root / "cifar10" / split / NAMES[2 * index // len(files)] / f"{index:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file)


def prepared(root, image_size, **options):
    prepare("cifar10", image_size, root / "out", root, ["parquet", "folder"], **options)
    return open_prepared(root / "out")


def error_of(function, *arguments, **options):
    with pytest.raises(UserError) as error:
        function(*arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("layout", ["parquet", "folder"])
def test_images_of_the_right_size_keep_their_pixels_and_order(tmp_path, layout):
    images = pictures(6)
    files = [encoded(image) for image in images]
    labels = [0, 0, 0, 1, 1, 1]
    if layout == "folder":
        write_folder(tmp_path, files)
    else:
        labels = [0, 1, 1, 0, 1, 0]
        write_parquet(tmp_path / "cifar10/train.parquet", files, labels)
        write_parquet(tmp_path / "cifar10/test.parquet", files, labels)
    data = prepared(tmp_path, 8)
    for split in (data.train, data.test):
        assert np.array_equal(split.images, images)
        assert split.labels.tolist() == labels
    assert data.class_names == tuple(NAMES)
    assert data.image_size == 8


def test_digits_m_needs_no_files(tmp_path):
    prepare("digits_m", 32, tmp_path / "out", None, [])
    data = open_prepared(tmp_path / "out")
    assert np.array_equal(data.test.images, make_digits_m()["test"][0])


def antialiased(pixels, size):
    tensor = torch.tensor(pixels).permute(2, 0, 1)[None].double()
    resized = torch.nn.functional.interpolate(tensor, size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    "height, width, size, resized, rows, columns",
    [
        (24, 24, 8, (8, 8), slice(None), slice(None)),
        (24, 36, 8, (8, 12), slice(None), slice(2, 10)),
        (40, 20, 10, (20, 10), slice(5, 15), slice(None)),
        (4, 6, 8, (8, 12), slice(None), slice(2, 10)),
    ],
)
def test_other_sizes_are_resized_on_the_shorter_side_and_cropped_at_the_centre(
    tmp_path, height, width, size, resized, rows, columns
):
    image = pictures(1, height, width)[0]
    write_folder(tmp_path, [encoded(image)] * 2)
    expected = antialiased(image, resized)[rows, columns]
    actual = prepared(tmp_path, size).train.images[0]
    assert np.abs(actual - expected).max() <= 1


def test_every_kind_of_image_comes_out_as_rgb(tmp_path):
    colour = pictures(1)[0]
    grey, alpha = colour[..., 0], np.dstack([colour, colour[..., 0]])
    palette = Image.fromarray(colour).quantize(16)
    file = io.BytesIO()
    palette.save(file, "PNG")
    write_folder(tmp_path, [encoded(grey), encoded(alpha), file.getvalue(), encoded(colour)])
    images = prepared(tmp_path, 8).train.images
    on_white = Image.alpha_composite(Image.new("RGBA", (8, 8), "white"), Image.fromarray(alpha))
    assert np.array_equal(images[0], np.dstack([grey] * 3))
    assert np.array_equal(images[1], np.asarray(on_white.convert("RGB")))
    assert np.array_equal(images[2], np.asarray(palette.convert("RGB")))
    assert np.array_equal(images[3], colour)


def test_the_number_of_workers_changes_nothing(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(600)])
    alone = np.array(prepared(tmp_path, 6).train.images)
    shutil.rmtree(tmp_path / "out")
    assert np.array_equal(prepared(tmp_path, 6, workers=3).train.images, alone)


def test_preparing_twice_gives_the_same_files(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(4)])
    digests = []
    for _ in range(2):
        prepared(tmp_path, 8)
        files = sorted(set((tmp_path / "out").iterdir()) - {tmp_path / "out/checked.json"})
        digests.append({file.name: hashlib.sha256(file.read_bytes()).digest() for file in files})
        shutil.move(tmp_path / "out", tmp_path / f"out{len(digests)}")
    assert digests[0] == digests[1]
    assert set(digests[0]) == {
        *("train.npy", "test.npy", "train_labels.npy", "test_labels.npy"),
        *("manifest.json", ".manifest.json"),
    }
    verify(tmp_path / "out2")


def test_the_files_are_ordinary_npy_files(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(4)])
    prepared(tmp_path, 8)
    for path in (tmp_path / "out").glob("*.npy"):
        file = io.BytesIO()
        np.save(file, np.load(path))
        assert path.read_bytes() == file.getvalue()


# What can go wrong


def test_an_unknown_data_set_is_named(tmp_path):
    message = error_of(prepare, "cifar11", 32, tmp_path / "out", tmp_path)
    assert "data set cifar11 not found; did you mean 'cifar10'?" in message


@pytest.mark.parametrize("image_size", [0, -3])
def test_an_impossible_image_size_is_named(tmp_path, image_size):
    message = error_of(prepare, "digits_m", image_size, tmp_path / "out", None)
    assert f"image_size is {image_size}" in message


def test_a_data_set_that_is_not_there_leaves_no_output(tmp_path):
    message = error_of(prepared, tmp_path, 32)
    assert "data set cifar10 not found" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", ["cut", "emptied", "no image"])
def test_a_corrupt_image_in_a_folder_is_named(tmp_path, damage, workers):
    files = [encoded(image) for image in pictures(4)]
    files[2] = {"cut": files[2][:-40], "emptied": b"", "no image": b"<html>not found"}[damage]
    write_folder(tmp_path, files)
    message = error_of(prepared, tmp_path, 8, workers=workers)
    assert f"{tmp_path / 'cifar10/train/dog/002.png'}: the image cannot be decoded" in message
    assert not (tmp_path / "out/manifest.json").exists()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "no bytes"])
def test_a_corrupt_image_in_a_parquet_file_is_named_by_its_row(tmp_path, damage):
    files = [encoded(image, "JPEG") for image in pictures(200)]
    labels = [0, 1] * 100
    write_parquet(tmp_path / "cifar10/train.parquet", files, labels)
    files[150] = None if damage == "no bytes" else files[150][:-200]
    write_parquet(tmp_path / "cifar10/test.parquet", files, labels)
    message = error_of(prepared, tmp_path, 8)
    assert f"{tmp_path / 'cifar10/test.parquet'}, row 150: the image cannot be decoded" in message
    assert "no prepared data set" in error_of(open_prepared, tmp_path / "out")


def test_a_failed_preparation_also_withdraws_the_one_before(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(4)])
    prepared(tmp_path, 8)
    (tmp_path / "cifar10/test/dog/003.png").write_bytes(b"")
    error_of(prepared, tmp_path, 8)
    assert "no prepared data set" in error_of(open_prepared, tmp_path / "out")


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = error_of(prepare, "digits_m", 32, tmp_path / "file/out", None)
    assert f"cannot write {tmp_path / 'file/.out.lock'}" in message


def in_a_process_of_its_own(function):
    """Run `function` in a fork; returns its exit code (negative: the signal that ended it)."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join()
    return process.exitcode


def test_a_killed_preparation_does_not_look_prepared_and_can_be_repeated(tmp_path, monkeypatch):
    images = pictures(300)
    write_folder(tmp_path, [encoded(image) for image in images])
    prepared(tmp_path, 8)

    def prepare_and_die():
        os.utime(tmp_path / "cifar10/train/cat/000.png")  # something to do
        decode, left = metaug.data.prepare._decode, iter(range(450))

        def decode_or_die(*arguments):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return decode(*arguments)

        monkeypatch.setattr(metaug.data.prepare, "_decode", decode_or_die)
        prepared(tmp_path, 8)

    assert in_a_process_of_its_own(prepare_and_die) == -signal.SIGKILL
    assert any(path.name.endswith(".tmp") for path in (tmp_path / "out").iterdir())
    assert "no prepared data set" in error_of(open_prepared, tmp_path / "out")

    assert np.array_equal(prepared(tmp_path, 8).test.images, images)
    verify(tmp_path / "out")
    assert not any(path.name.endswith(".tmp") for path in (tmp_path / "out").iterdir())


def test_a_file_system_that_takes_no_more_gives_one_line(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(300)])
    out = tmp_path / "out"

    def prepare_within_10_kb():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        message = error_of(prepared, tmp_path, 8)
        assert f"cannot write {out / 'train.npy'}: File too large" in message
        os._exit(17)

    assert in_a_process_of_its_own(prepare_within_10_kb) == 17
    assert list(out.iterdir()) == []


# What it was made from


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def write_both(root, labels, value=0):
    files = [encoded(np.full((8, 8, 3), value + index, np.uint8)) for index in range(len(labels))]
    for split in ("train", "test"):
        write_parquet(root / f"cifar10/{split}.parquet", files, labels)


def test_another_place_is_prepared_and_the_same_again_is_not(tmp_path, capsys):
    write_both(tmp_path / "a", [0, 1])
    write_both(tmp_path / "b", [0, 1, 1])
    out = tmp_path / "out"
    for root, count in (("a", 2), ("b", 3), ("a", 2)):
        prepare("cifar10", 8, out, tmp_path / root)
        assert manifest_of(out)["origin"] == f"parquet {tmp_path / root}/cifar10"
        assert len(open_prepared(out).train.images) == count
    before = (out / "train.npy").stat().st_mtime_ns
    capsys.readouterr()
    prepare("cifar10", 8, out, tmp_path / "a")
    assert (out / "train.npy").stat().st_mtime_ns == before
    assert capsys.readouterr().out == (
        f"{out} is prepared already, from parquet {tmp_path}/a/cifar10\n"
    )


def test_a_path_that_means_the_same_place_is_the_same_place(tmp_path, monkeypatch):
    write_both(tmp_path / "a", [0, 1])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    roots = ("a", "./a", "b/../a", tmp_path / "a", "link")
    (tmp_path / "b").mkdir()
    keys = {expected_origin("cifar10", Path("out"), Path(root), ["parquet"]) for root in roots}
    assert len(keys) == 1


def test_the_same_images_from_another_place_keep_the_digest(tmp_path):
    write_both(tmp_path / "a", [0, 1])
    prepare("cifar10", 8, tmp_path / "out", tmp_path / "a")
    digest = open_prepared(tmp_path / "out").digest
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    prepare("cifar10", 8, tmp_path / "out", tmp_path / "b")
    assert open_prepared(tmp_path / "out").digest == digest
    assert manifest_of(tmp_path / "out")["origin"] == f"parquet {tmp_path}/b/cifar10"


def test_changed_files_and_other_sources_are_prepared_again(tmp_path):
    write_both(tmp_path, [0, 1])
    prepare("cifar10", 8, tmp_path / "out", tmp_path)
    write_both(tmp_path, [0, 1], value=100)
    prepare("cifar10", 8, tmp_path / "out", tmp_path)
    assert open_prepared(tmp_path / "out").train.images[0, 0, 0, 0] == 100
    write_folder(tmp_path, [encoded(image) for image in pictures(4)])
    prepare("cifar10", 8, tmp_path / "out", tmp_path, ["folder"])
    assert len(open_prepared(tmp_path / "out").train.images) == 4


def test_a_folder_for_another_size_is_prepared_again(tmp_path):
    write_both(tmp_path, [0, 1])
    for size in (8, 4):
        prepare("cifar10", size, tmp_path / "out", tmp_path)
        assert open_prepared(tmp_path / "out").train.images.shape == (2, size, size, 3)


def test_prepared_arrays_alone_are_enough_where_no_data_root_is_set(tmp_path, capsys):
    write_both(tmp_path / "a", [0, 1])
    out = tmp_path / "out"
    prepare("cifar10", 8, out, tmp_path / "a")
    expected = expected_origin("cifar10", out, tmp_path / "a", ["parquet"])
    shutil.rmtree(tmp_path / "a")
    capsys.readouterr()
    assert expected_origin("cifar10", out, None, ["parquet", "folder"]) == expected
    assert capsys.readouterr().err == (
        f"data_root is not set: {out}, prepared from parquet {tmp_path}/a/cifar10, is used as it "
        "is\n"
    )
    prepare("cifar10", 8, out, None)
    assert len(open_prepared(out).train.images) == 2
    require_origin(out, expected)


def test_prepared_arrays_of_a_source_that_is_not_wanted_are_not_enough(tmp_path):
    write_both(tmp_path / "a", [0, 1])
    prepare("cifar10", 8, tmp_path / "out", tmp_path / "a", ["parquet"])
    message = error_of(prepare, "cifar10", 8, tmp_path / "out", None, ["folder"])
    assert "folder: data_root is not set" in message


def test_damaged_arrays_are_not_enough(tmp_path):
    write_both(tmp_path / "a", [0, 1])
    out = tmp_path / "out"
    prepare("cifar10", 8, out, tmp_path / "a")
    size = (out / "train.npy").stat().st_size
    (out / "train.npy").write_bytes(bytes(size))
    assert "data_root is not set" in error_of(prepare, "cifar10", 8, out, None, ["parquet"])
    prepare("cifar10", 8, out, tmp_path / "a")
    verify(out)


@pytest.mark.parametrize("sources", [["parquet"], ["parquet", "torchvision"]])
@pytest.mark.parametrize("missing", ["nowhere", "empty"])
def test_missing_data_name_both_places_and_leave_what_is_prepared(tmp_path, sources, missing):
    write_both(tmp_path / "a", [0, 1])
    (tmp_path / "empty").mkdir()
    out, root = tmp_path / "out", tmp_path / missing
    prepare("cifar10", 8, out, tmp_path / "a")
    message = error_of(prepare, "cifar10", 8, out, root, sources)
    assert str(root) in message
    assert f"{out} was prepared from parquet {tmp_path}/a/cifar10: to go on with it" in message
    assert len(open_prepared(out).train.images) == 2
    key = expected_origin("cifar10", out, root, sources)
    assert error_of(require_origin, out, key) == message


def test_a_manifest_that_snakemake_deleted_is_not_lost_while_the_data_are_away(tmp_path):
    write_both(tmp_path / "a", [0, 1])
    out = tmp_path / "out"
    prepare("cifar10", 8, out, tmp_path / "a")
    written = (out / "train.npy").stat().st_mtime_ns
    (out / "manifest.json").unlink()
    assert "was prepared from" in error_of(prepare, "cifar10", 8, out, tmp_path / "nowhere")
    (out / "manifest.json").unlink(missing_ok=True)
    prepare("cifar10", 8, out, None)
    assert (out / "train.npy").stat().st_mtime_ns == written
    open_prepared(out)


def test_arrays_of_another_origin_are_refused_with_what_to_do(tmp_path):
    for root in ("a", "b"):
        write_both(tmp_path / root, [0, 1])
    out = tmp_path / "out"
    prepare("cifar10", 8, out, tmp_path / "a")
    other = expected_origin("cifar10", out, tmp_path / "b", ["parquet"])
    assert error_of(require_origin, out, other) == (
        f"{out} was prepared from parquet {tmp_path}/a/cifar10, not from parquet {tmp_path}/b/"
        f"cifar10: delete {out / 'manifest.json'} to have it prepared again"
    )
    write_both(tmp_path / "a", [0, 1, 1])
    changed = expected_origin("cifar10", out, tmp_path / "a", ["parquet"])
    assert f"the files of parquet {tmp_path}/a/cifar10 are not those that {out} was" in error_of(
        require_origin, out, changed
    )


def test_the_second_of_two_preparations_waits_and_finds_it_done(tmp_path):
    write_folder(tmp_path, [encoded(image) for image in pictures(600)])
    out = tmp_path / "out"
    context = multiprocessing.get_context("fork")
    written = context.Queue()

    def prepare_and_tell():
        array = metaug.data.prepare._write_array
        metaug.data.prepare._write_array = lambda *given: (written.put(1), array(*given))[1]
        prepare("cifar10", 8, out, tmp_path)
        open_prepared(out)

    processes = [context.Process(target=prepare_and_tell) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sum(written.get() for _ in range(4)) == 4
    assert written.empty(), "one of them wrote the four arrays"
    verify(out)


def test_what_was_done_to_images_is_counted(tmp_path, capsys):
    grey = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    file = io.BytesIO()
    grey.save(file, "PNG")
    clear = encoded(np.zeros((8, 8, 4), np.uint8))
    write_folder(tmp_path, [file.getvalue(), clear, encoded(pictures(1)[0]), file.getvalue()])
    data = prepared(tmp_path, 8)
    assert (data.train.images[[0, 1, 3]] == 255).all()
    assert manifest_of(tmp_path / "out")["converted"] == {
        "of 16 bits scaled to 8": 4,
        "with transparency put on white": 2,
    }
    assert ", 4 of 16 bits scaled to 8, 2 with transparency put on white; skipped: nothing\n" in (
        capsys.readouterr().out
    )


# Real images

needs_images = pytest.mark.skipif(
    not os.environ.get("METAUG_DATA_ROOT"),
    reason="METAUG_DATA_ROOT is not set: it names the folder of the real images",
)


def cut(dataset, rows, tmp_path):
    """The first rows of both splits of a real data set, as a data set of its own."""
    for file in sorted(Path(os.environ["METAUG_DATA_ROOT"], dataset).glob("*.parquet")):
        with pq.ParquetFile(file) as parquet:
            batch = next(parquet.iter_batches(rows))
        (tmp_path / dataset).mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_batches([batch]), tmp_path / dataset / file.name)
    return tmp_path


def as_pil_reads(file):
    rows = pq.read_table(file).column("image").to_pylist()
    images = [Image.open(io.BytesIO(row["bytes"])) for row in rows]
    return [image.mode for image in images], [np.asarray(image.convert("RGB")) for image in images]


@needs_images
@pytest.mark.parametrize(
    "dataset, train, test, classes, first_class",
    [
        ("cifar10", 50_000, 10_000, 10, "airplane"),
        ("cifar100", 50_000, 10_000, 100, "apple"),
        ("tiny_imagenet", 20_000, 10_000, 200, "goldfish"),
        ("imagenet", 2_500, 500, 10, "tench"),
    ],
)
def test_real_data_sets_are_found_whole_and_balanced(dataset, train, test, classes, first_class):
    raw = find(DATASETS[dataset], os.environ["METAUG_DATA_ROOT"], ["parquet"], "nowhere")
    assert len(raw.class_names) == classes
    assert raw.class_names[0] == first_class
    assert np.bincount(raw.train.labels).tolist() == [train // classes] * classes
    assert np.bincount(raw.test.labels).tolist() == [test // classes] * classes


@needs_images
def test_cifar10_is_decoded_as_pil_decodes_it(tmp_path):
    root = cut("cifar10", 500, tmp_path)
    prepare("cifar10", 32, tmp_path / "out", root, ["parquet"])
    data = open_prepared(tmp_path / "out")
    assert data.class_names == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    for name, split in (("train", data.train), ("test", data.test)):
        _, images = as_pil_reads(root / f"cifar10/{name}.parquet")
        assert np.array_equal(split.images, np.stack(images))
        assert np.bincount(split.labels).tolist() == [50] * 10


@needs_images
def test_grey_pictures_of_tiny_imagenet_come_out_as_rgb(tmp_path):
    root = cut("tiny-imagenet-200", 400, tmp_path)
    prepare("tiny_imagenet", 64, tmp_path / "out", root, ["parquet"])
    data = open_prepared(tmp_path / "out")
    assert len(data.class_names) == 200
    for name, split in (("train", data.train), ("val", data.test)):
        modes, images = as_pil_reads(root / f"tiny-imagenet-200/{name}.parquet")
        assert np.array_equal(split.images, np.stack(images))
        grey = split.images[[mode == "L" for mode in modes]]
        assert len(grey) > 0
        assert (grey == grey[..., :1]).all()


@needs_images
def test_imagenet_is_shrunk_with_antialiasing(tmp_path):
    root = cut("imagenet", 100, tmp_path)
    prepare("imagenet", 64, tmp_path / "out", root, ["parquet"])
    data = open_prepared(tmp_path / "out")
    assert data.train.images.shape == data.test.images.shape == (100, 64, 64, 3)
    _, images = as_pil_reads(root / "imagenet/val.parquet")
    for image, original in zip(data.test.images, images, strict=True):
        assert np.abs(image - antialiased(original, (64, 64))).max() <= 1
