"""A user's own data set is described by its files, and its name is checked."""

import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metaug.data.arrays import open_prepared
from metaug.data.datasets import Dataset
from metaug.data.prepare import prepare
from metaug.data.raw import RawDataset
from metaug.data.sources import find
from metaug.data.user import SIDES, check_names, sought, user_dataset
from metaug.errors import UserError

SOURCES = ["parquet", "folder", "torchvision"]


def picture(value: int, width: int = 40, height: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (value % 256, 255 - value % 256, 7)).save(file, "PNG")
    return file.getvalue()


def write_class(folder: Path, count: int, first: int = 0, **size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        (folder / f"{index}.png").write_bytes(picture(index, **size))


def write_birds(root: Path, images: int = 10, **size: int) -> None:
    """Class folders with splits."""
    for name in ("owl", "tit", "jay"):
        write_class(root / "birds/train" / name, images, **size)
        write_class(root / "birds/test" / name, 4, **size)


def describe(root: Path | None, data: Path, name: str = "birds") -> Dataset:
    return user_dataset(name, root, SOURCES, data)


def test_classes_and_images_are_counted(tmp_path: Path) -> None:
    write_birds(tmp_path)
    found = describe(tmp_path, tmp_path / "data")
    assert (found.classes, found.training_images, found.test_images) == (3, 30, 12)


def test_sides_are_those_of_the_papers_data_sets() -> None:
    assert SIDES == (32, 64, 96, 224)


@pytest.mark.parametrize(
    ("side", "expected"), [(8, 32), (48, 32), (49, 64), (80, 64), (81, 96), (500, 224)]
)
def test_the_side_is_the_nearest_to_the_median_shorter_one(
    side: int, expected: int, tmp_path: Path
) -> None:
    write_birds(tmp_path, width=side + 13, height=side)
    write_class(tmp_path / "birds/train/owl", 3, first=90, width=1000, height=900)
    assert describe(tmp_path, tmp_path / "data").image_size == expected


def test_parquet_is_described_like_class_folders(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, count in (("train", 6), ("test", 2)):
        images = pa.array(
            [{"bytes": picture(i, 70, 70), "path": None} for i in range(count)], image
        )
        table = pa.table({"image": images, "label": [i % 2 for i in range(count)]})
        table = table.replace_schema_metadata({"class_names": json.dumps(["owl", "tit"])})
        pq.write_table(table, tmp_path / f"birds/{split}.parquet")
    found = describe(tmp_path, tmp_path / "data")
    assert (found.classes, found.training_images, found.test_images) == (2, 6, 2)
    assert found.image_size == 64


def test_files_are_read_once_and_again_when_they_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_birds(tmp_path)
    first = describe(tmp_path, tmp_path / "data")
    assert "30 training and 12 test images of 3 classes" in capsys.readouterr().err
    assert describe(tmp_path, tmp_path / "data") == first
    assert not capsys.readouterr().err
    write_class(tmp_path / "birds/train/owl", 5, first=50)
    assert describe(tmp_path, tmp_path / "data").training_images == 35
    assert "35 training" in capsys.readouterr().err


def test_without_data_root_what_was_read_still_holds(tmp_path: Path) -> None:
    write_birds(tmp_path)
    first = describe(tmp_path, tmp_path / "data")
    assert describe(None, tmp_path / "data") == first


@pytest.mark.parametrize("damage", ["", "{}", '{"origin": "x", "classes": 0}', "\0"])
def test_a_damaged_description_is_written_anew(damage: str, tmp_path: Path) -> None:
    write_birds(tmp_path)
    first = describe(tmp_path, tmp_path / "data")
    (tmp_path / "data/birds.json").write_text(damage)
    assert describe(tmp_path, tmp_path / "data") == first


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    message = r"not found; did you mean 'cifar10'\?.* to the folder that holds cifra10/"
    with pytest.raises(UserError, match=message):
        describe(tmp_path, tmp_path / "data", "cifra10")
    with pytest.raises(UserError, match=r"data_root is not set.* the folder that holds birds/"):
        describe(None, tmp_path / "data")
    with pytest.raises(UserError, match=r"data_root .*nowhere does not exist"):
        describe(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "birds").mkdir()
    with pytest.raises(UserError, match="neither train/ nor folders of classes in"):
        describe(tmp_path, tmp_path / "data")


def test_an_image_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    write_birds(tmp_path)
    (tmp_path / "birds/train/owl/3.png").write_text("no image")
    with pytest.raises(UserError, match=r"owl/3\.png: the image cannot be decoded"):
        describe(tmp_path, tmp_path / "data")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "my birds",
        "../birds",
        "birds/",
        ".birds",
        "-birds",
        "bïrds",
        "a" * 41,
        "<b>",
        "b$",
        "b\n",
    ],
)
def test_a_name_that_cannot_go_into_paths_and_tables_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="letters, digits, - and _") as caught:
        check_names([name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "other"),
    [
        (["CIFAR-10"], "the paper's 'cifar10'"),
        (["tiny-imagenet-200"], "the paper's 'tiny_imagenet'"),
        (["Average"], "the column 'average'"),
        (["birds", "Birds"], "your 'birds'"),
        (["my-birds", "my_birds"], "your 'my-birds'"),
    ],
)
def test_a_name_that_would_be_taken_for_another_is_refused(names: list[str], other: str) -> None:
    with pytest.raises(UserError, match=f"is the same as {other}"):
        check_names(names)


def test_usual_names_are_accepted() -> None:
    check_names(["birds", "flowers-17", "My_Cells", "2024"])
    check_names(["birds", "birds"])


def without_splits(root: Path, sizes: dict[str, int]) -> RawDataset:
    for name, count in sizes.items():
        write_class(root / "birds" / name, count)
    return find(sought("birds"), root, SOURCES, "nowhere")


def names_of(raw: RawDataset) -> tuple[set[str], set[str]]:
    train, test = ({where for where, _ in split.images()} for split in (raw.train, raw.test))
    return train, test


def test_without_splits_a_fifth_of_each_class_is_the_test_split(tmp_path: Path) -> None:
    raw = without_splits(tmp_path, {"owl": 50, "tit": 20, "jay": 2})
    assert raw.class_names == ("jay", "owl", "tit")
    assert Counter(raw.test.labels.tolist()) == {0: 1, 1: 10, 2: 4}
    assert Counter(raw.train.labels.tolist()) == {0: 1, 1: 40, 2: 16}
    train, test = names_of(raw)
    assert not train & test


def test_an_added_image_moves_at_most_one_other_to_another_split(tmp_path: Path) -> None:
    _, before = names_of(without_splits(tmp_path, {"owl": 50, "tit": 20}))
    write_class(tmp_path / "birds/owl", 1, first=900)
    _, after = names_of(find(sought("birds"), tmp_path, SOURCES, "nowhere"))
    assert len(before ^ after) <= 2


def test_the_split_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    raws = [without_splits(tmp_path / place, {"owl": 30, "tit": 30}) for place in ("a", "b")]
    first, second = (
        {os.path.relpath(name, tmp_path / place) for name in names_of(raw)[1]}
        for place, raw in zip(("a", "b"), raws, strict=True)
    )
    assert first == second


def test_one_split_alone_is_refused(tmp_path: Path) -> None:
    write_class(tmp_path / "birds/test/owl", 3)
    with pytest.raises(UserError, match="has test/ but no train/"):
        find(sought("birds"), tmp_path, SOURCES, "nowhere")


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no image of the class 'owl'"):
        without_splits(tmp_path, {"owl": 1, "tit": 20, "jay": 20})


def test_it_is_prepared_as_any_other(tmp_path: Path) -> None:
    for name in ("owl", "tit"):
        write_class(tmp_path / "birds" / name, 10)
    prepare("birds", 32, tmp_path / "data/birds-32", tmp_path)
    prepared = open_prepared(tmp_path / "data/birds-32")
    assert prepared.train.images.shape == (16, 32, 32, 3)
    assert np.bincount(prepared.test.labels).tolist() == [2, 2]
