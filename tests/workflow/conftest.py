"""A small copy of the project in which Snakemake is really run."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metaug.suite.plan import load_plan
from tests.paper.synthetic import write_records

ROOT = Path(__file__).parents[2]
TINY_SCALE = """
name: smoke
trials: 2
datasets:
  digits_m: {image_size: 32, train_images: 200}
backbones:
  alexnet: {width: 0.0625}
spec:
  augmentation: cmc
  batch_size: 20
  epochs: 2
  optimizer: adam
  learning_rate: 0.001
  schedule: constant
hyper: {negatives: 32, projector_hidden: 32, queue_size: 40}
probe: {epochs: 2, averaged_epochs: 1}
grid:
  table3.batch_size: [20]
  table4.sets: [1, 5, 8]
  table5.delta: [0.1, 1.0e-5]
  figure3.decay: [1, 3]
  figure4.batch_size: [20, 40]
  figure4.steps_batch_size: [20, 40]
  figure6.alpha: [1.0e-11, 1.0e-13]
  figure6.beta: [16, 64]
  figure6.delta: [0.1, 1.0e-5]
  figure7.gamma: [0.15, 0.40]
  extra2.switches: [loss]
  extra3.delta: [0.1, 1.0e-5]
"""


class Project:
    """A checkout in a folder of its own, at a tiny scale, with Snakemake to be run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snakemake(self, *arguments: str, **options: object) -> subprocess.CompletedProcess:
        """Run `snakemake --cores 1 ARGUMENTS` here, with this copy's packages."""
        environment = {key: value for key, value in os.environ.items() if key != "METAUG_DATA_ROOT"}
        environment |= {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            **options,
        )

    def table1(self, **config: object) -> subprocess.CompletedProcess:
        """Make Table 1 of `random` and `simclr`; fails the test if Snakemake fails."""
        pairs = [f"{k}={json.dumps(v)}" for k, v in {"methods": METHODS, **config}.items()]
        done = self.snakemake("table1", "--config", *pairs)
        assert done.returncode == 0, done.stderr
        return done

    def planned(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run says there are to do."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stderr
        stats = re.search(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)*)total", done.stdout, re.M)
        assert stats, done.stdout
        return {rule: int(count) for rule, count in map(str.split, stats[1].splitlines())}

    def started(self) -> dict[tuple[str, str, int], str]:
        """When each recorded trial was started, by method, spec and trial."""
        return {
            (record["spec"]["method"], record["hash"], record["trial"]): record["started"]
            for record in self.records()
        }

    def records(self) -> list[dict]:
        paths = sorted(self.folder.glob("results/smoke/trials/*/trial_*.json"))
        return [json.loads(path.read_text()) for path in paths]

    def numbers(self) -> dict[tuple[str, int], list]:
        """All numbers of each trial but durations, by method and trial."""
        return {
            (record["spec"]["method"], record["trial"]): [
                row for row in record["rows"] if "seconds" not in row["metric"]
            ]
            + record["curve"]
            for record in self.records()
        }

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of this copy."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Project(folder)


METHODS = ["random", "simclr"]
RENDERED = ("figure7", "scorecard", "report")


def fresh_project(folder: Path) -> Project:
    folder.mkdir(exist_ok=True)
    screen = "snakemake_logger_plugin_metaug"
    for name in ("Snakefile", "workflow", "profiles", "config", "metaug", "baselines", screen):
        source = ROOT / name
        if source.is_dir():
            # with what is compiled, but not what another worker of pytest is just writing
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, folder / name)
    shutil.copy(ROOT / "environment.yml", folder)
    (folder / "config/scales/smoke.yaml").write_text(TINY_SCALE)
    return Project(folder)


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A project in which nothing has been run."""
    return fresh_project(tmp_path / "fresh")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = fresh_project(tmp_path_factory.mktemp("finished"))
    project.table1()
    return project


@pytest.fixture
def finished(finished_once: Project, tmp_path: Path) -> Project:
    """A project in which Table 1 is done, for this test alone."""
    return finished_once.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def rendered_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = fresh_project(tmp_path_factory.mktemp("rendered"))
    project.edit("config/config.yaml", "methods: null", "methods: [simclr, metaug_oucl, metaug]")
    with contextlib.chdir(project.folder):
        plan = load_plan(yaml.safe_load(Path("config/config.yaml").read_text()))
        Path("data/digits_m-32").mkdir(parents=True)
        Path("data/digits_m-32/manifest.json").touch()
        for spec in plan.specs.values():
            write_records(plan, spec)
        plan.write_tidy_frame()
    done = project.snakemake(*RENDERED)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def rendered(rendered_once: Project, tmp_path: Path) -> Project:
    """A project in which `RENDERED` were made of records that no training wrote."""
    return rendered_once.copy(tmp_path / "rendered")
