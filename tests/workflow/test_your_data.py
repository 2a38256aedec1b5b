"""The tutorial docs/your-data.md, command by command, on a folder that is none of ours."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workflow.conftest import ROOT, TINY_SCALE, Project

TUTORIAL = (ROOT / "docs/your-data.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", TUTORIAL, re.M)
LITE = TINY_SCALE.replace("name: smoke", "name: lite").replace(
    "datasets:\n", "user_data: {largest_side: 32, train_images: 60}\ndatasets:\n"
)


def add_leaves(root: Path, first: int, last: int) -> None:
    """Class folders without splits: noise of a colour for each class, of any size."""
    for label, name in enumerate(("oak", "ash", "elm tree")):
        folder = root / "leaves" / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(first, last):
            draw = np.random.default_rng(index)
            pixels = draw.integers(0, 160, (*draw.integers(30, 70, 2), 3), dtype=np.uint8)
            pixels[..., label] += 90
            Image.fromarray(pixels).save(folder / f"leaf {index}.jpg")


@pytest.fixture
def project(fresh: Project) -> Project:
    """A project whose `lite` takes seconds."""
    (fresh.folder / "config/scales/lite.yaml").write_text(LITE)
    return fresh


def follow(project: Project, root: Path, command: str, *more: str) -> str:
    """Run a command of the tutorial; what was said."""
    program, *arguments = shlex.split(command)
    assert program == "snakemake"
    arguments = [word.replace("=DIR", f"={root}") for word in arguments]
    arguments = [word for word in arguments if word not in ("--cores", "all")]
    done = project.snakemake(*arguments, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.end_to_end
def test_the_tutorial_makes_table_1_of_a_folder_of_class_folders(
    project: Project, tmp_path: Path
) -> None:
    add_leaves(tmp_path, 0, 30)
    (few,) = (command for command in COMMANDS if "methods=" in command)
    text = follow(project, tmp_path, few)
    assert f"leaves: 72 training and 18 test images of 3 classes in {tmp_path}/leaves" in text
    table = (project.folder / "results/lite/tables/table1.md").read_text()
    assert "| leaves, not in the paper conv | leaves, not in the paper fc |" in table
    assert "leaves is a user's own data set, for which the paper has no numbers: 3 classes" in table
    assert "60 of 72 training images, 18 test images, resized to 32 × 32 pixels" in table
    assert "n = 2 trials" in table
    specs = {record["spec"]["method"]: record["spec"] for record in records(project)}
    assert set(specs) == {"random", "simclr", "metaug"}
    assert {spec["dataset"] for spec in specs.values()} == {"leaves"}
    started = [record["started"] for record in records(project)]
    assert "Nothing to be done" in follow(project, tmp_path, few)

    add_leaves(tmp_path, 30, 32)
    text = follow(project, tmp_path, few)
    assert "leaves: 78 training and 18 test images" in text
    assert all(record["started"] not in started for record in records(project))


def records(project: Project) -> list[dict]:
    paths = sorted(project.folder.glob("results/lite/trials/*/trial_*.json"))
    assert paths
    return [json.loads(path.read_text()) for path in paths]


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.startswith("snakemake") and "methods=" not in c]
)
def test_the_other_commands_of_the_tutorial_can_be_given(
    command: str, project: Project, tmp_path: Path
) -> None:
    add_leaves(tmp_path, 0, 30)
    scale = project.folder / "config/scales/lite.yaml"
    scale.write_text(LITE.replace("datasets:\n", "datasets:\n  cifar10: {image_size: 32}\n"))
    assert "train_0" in follow(project, tmp_path, command, "--dry-run")


def test_the_limits_in_the_tutorial_are_those_of_the_scales() -> None:
    from metaug.config import load_config

    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d,]+|all) \|$", TUTORIAL, re.M)
    stated = {
        name: (int(side), None if images == "all" else int(images.replace(",", "")))
        for name, side, images in rows
    }
    limits = {name: load_config({"scale": name})[1].user_data for name in ("smoke", "lite", "full")}
    assert stated == {name: (u.largest_side, u.train_images) for name, u in limits.items()}
