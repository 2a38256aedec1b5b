"""Data from another place are prepared again; only other images are trained on again."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workflow.conftest import Project

MANIFEST = "data/cifar10-32/manifest.json"


def write_images(root: Path, images: int, first: int = 0) -> None:
    """Class folders of a small stand-in for CIFAR-10: two classes, noise."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = root / "cifar10" / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(first, first + images):
                noise = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                file = io.BytesIO()
                Image.fromarray(noise).save(file, "PNG")
                (folder / f"{index}.png").write_bytes(file.getvalue())


def prepare(project: Project, root: Path | None = None) -> tuple[int, str, dict]:
    """Ask for prepared data: the exit status, what was said, and the manifest."""
    given = [] if root is None else [f"data_root={root}"]
    done = project.snakemake(MANIFEST, "--config", "methods=[random]", *given)
    path = project.folder / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {}
    assert manifest or error_lines(done.stderr), done.stderr
    return done.returncode, done.stdout + done.stderr, manifest


def error_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.end_to_end
def test_data_follow_the_config(fresh: Project, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_images(a, 2)
    write_images(b, 3)
    assert prepare(fresh, a)[2]["counts"] == {"train": 4, "test": 4}
    status, text, manifest = prepare(fresh, b)
    assert (status, manifest["counts"]) == (0, {"train": 6, "test": 6})
    assert f"6 training and 6 test images of 2 classes from folder {b}/cifar10; skipped" in text

    write_images(b, 1, first=7)
    assert prepare(fresh, b)[2]["counts"] == {"train": 8, "test": 8}

    for _ in range(2):  # the second time, too
        status, text, _ = prepare(fresh, tmp_path / "nowhere")
        (line,) = error_lines(text)
        assert status != 0
        assert f"data_root {tmp_path / 'nowhere'} does not exist" in line
        assert f"was prepared from folder {b}/cifar10" in line
        assert "Traceback" not in text

    shutil.rmtree(b)
    status, text, manifest = prepare(fresh)
    assert (status, manifest["counts"]) == (0, {"train": 8, "test": 8})
    assert f"prepared from folder {b}/cifar10, is used as it is" in text


@pytest.fixture
def on_images(fresh: Project) -> Project:
    """A project whose smoke scale is of CIFAR-10."""
    images = "cifar10: {image_size: 32, train_images: 40}"
    fresh.edit("config/scales/smoke.yaml", "digits_m: {image_size: 32, train_images: 200}", images)
    return fresh


@pytest.mark.end_to_end
def test_the_same_images_elsewhere_train_nothing_and_others_do(
    on_images: Project, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_images(a, 20)
    settings = {"methods": ["random"], "trials": 1}
    on_images.table1(**settings, data_root=str(a))
    before = on_images.started()
    assert before

    shutil.copytree(a, b)
    asked = [
        f"{key}={json.dumps(value)}" for key, value in (settings | {"data_root": str(b)}).items()
    ]
    assert "prepare" in on_images.planned("table1", "--config", *asked)
    on_images.table1(**settings, data_root=str(b))
    assert on_images.started() == before
    digest = on_images.records()[0]["data"]
    assert "Nothing to be done" in on_images.table1(**settings, data_root=str(b)).stderr

    write_images(b, 1, first=50)
    on_images.table1(**settings, data_root=str(b))
    assert on_images.records()[0]["data"] != digest


@pytest.mark.end_to_end
def test_copied_data_are_not_taken_for_those_of_another_place(
    on_images: Project, tmp_path: Path
) -> None:
    """Snakemake knows nothing of a folder that was copied here."""
    write_images(tmp_path / "a", 20)
    write_images(tmp_path / "b", 21)
    assert prepare(on_images, tmp_path / "a")[0] == 0
    shutil.rmtree(on_images.folder / ".snakemake")
    done = on_images.snakemake(
        "table1", "--config", "methods=[random]", "trials=1", f"data_root={tmp_path / 'b'}"
    )
    assert done.returncode != 0
    (line,) = set(error_lines(done.stderr))  # of each job
    assert f"was prepared from folder {tmp_path}/a/cifar10, not from folder {tmp_path}/b/" in line


@pytest.mark.end_to_end
def test_a_zeroed_block_of_prepared_data_is_not_trained_on(
    on_images: Project, tmp_path: Path
) -> None:
    write_images(tmp_path / "a", 20)
    assert prepare(on_images, tmp_path / "a")[0] == 0
    array = on_images.folder / "data/cifar10-32/train.npy"
    before = array.stat()
    with array.open("r+b") as file:
        file.seek(1000)
        file.write(bytes(50_000))
    os.utime(array, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = on_images.snakemake(
        "table1", "--config", "methods=[random]", "trials=1", f"data_root={tmp_path / 'a'}"
    )
    assert done.returncode != 0
    (line,) = set(error_lines(done.stderr))  # of each job
    assert line.startswith("error: data/cifar10-32/train.npy does not have the SHA-256")
    assert not on_images.records()


@pytest.mark.end_to_end
def test_a_batch_larger_than_the_images_stops_only_what_needs_it(fresh: Project) -> None:
    """Figure 4 of the tiny scale has a batch of 40."""
    config = ("--config", "methods=[simclr]", "overrides={simclr: {train_images: 30}}")
    assert fresh.planned("table1", *config)["train_0"] == 1
    done = fresh.snakemake("table1", "figure4", *config)
    assert done.returncode == 2
    assert error_lines(done.stderr) == [
        "error: simclr: a batch of 40 is more than the 30 training images; lower batch_size"
    ]
    assert not (fresh.folder / "data").exists()
