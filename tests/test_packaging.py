"""What is installed: version, types, and the two locks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import metaug

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


@pytest.mark.parametrize("command", ["plan", "config"])
def test_the_command_line_asks_for_the_suite_where_it_is_missing(command):
    program = (
        "import runpy, sys; sys.modules['yaml'] = None; "
        f"sys.argv[1:] = [{command!r}]; runpy.run_module('metaug', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2
    assert run.stderr == ("error: the suite is missing: pip install 'metaug-reproduction[suite]'\n")
