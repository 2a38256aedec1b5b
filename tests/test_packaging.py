"""What is installed: version, types, and the two locks."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import metaug
from metaug.suite.screen import LogHandler

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
HASHED = (ROOT / "requirements-hashed.txt").read_text()


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ ;<>=!~\[(]", requirement, maxsplit=1)[0]).lower()


def test_the_version_has_one_source():
    assert re.fullmatch(r"\d+\.\d+\.\d+", metaug.__version__)
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "metaug/py.typed").exists()


def test_both_locks_name_the_same_versions():
    hashed = [line.rstrip(" \\") for line in HASHED.splitlines() if not line.startswith(" ")]
    assert [line for line in LOCK if not line.startswith("#")] == hashed


def test_every_locked_version_has_hashes():
    for entry in re.split(r"\n(?=\S)", HASHED.strip()):
        assert re.match(r"[\w.-]+==\S+", entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", entry), entry


def test_every_dependency_is_locked():
    locked = {name_of(line) for line in LOCK if not line.startswith("#")}
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    needed = {name_of(name) for name in [*PROJECT["dependencies"], *extras]}
    assert needed - {"metaug-reproduction"} <= locked


def test_conda_and_make_install_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-c requirements.lock", "-e .[dev]"]
    assert f"python={PROJECT['requires-python'].removeprefix('>=')}" in environment["dependencies"]
    for target, extra in (("table1", "suite"), ("lint", "dev")):
        commands = subprocess.run(
            ["make", "-n", target, "VENV=fresh", "TORCH_INDEX=ADDRESS"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        ).stdout
        install = f"-c requirements.lock --extra-index-url ADDRESS -e '.[{extra}]'"
        assert f"fresh/bin/python -m pip install --quiet {install}" in commands


@pytest.mark.parametrize(
    ("command", "missing"),
    [("doctor", "yaml"), ("doctor", "rich"), ("doctor", "pandas"), ("plan", "torchvision")],
)
def test_the_command_line_asks_for_the_suite_where_it_is_missing(command, missing):
    program = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; "
        f"sys.argv[1:] = [{command!r}]; runpy.run_module('metaug', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2
    assert run.stderr == (
        f"error: the suite is missing ({missing} is not installed): "
        "pip install -e '.[suite]' in the folder of the project\n"
    )


def test_the_command_is_that_of_the_module():
    assert PROJECT["scripts"] == {"metaug": "metaug.__main__:main"}


def test_snakemake_finds_the_screen_where_the_checkout_is_on_the_path():
    (found,) = (m for m in pkgutil.iter_modules([str(ROOT)]) if m.name.startswith("snakemake_"))
    assert found.ispkg
    assert LogHandler is importlib.import_module(found.name).LogHandler
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert found.name in setup["packages"]["find"]["include"]
    # with it an editable install is a path, which Snakemake lists, and not a finder
    assert setup["package-dir"] == {"": "."}


def test_make_help_names_every_target_of_the_makefile():
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.M)
    run = subprocess.run(["make"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert re.findall(r"^  make (\w+) +\S", run.stdout, re.M) == phony.split()
