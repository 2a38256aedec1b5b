"""A record names the commit of this code or none, never another project's."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = "from metaug.training.provenance import _commit as found; print(*found().values())"


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path):
    """The code without its repository, in a folder of another one."""
    outer = tmp_path / "other project"
    shutil.copytree(ROOT / "metaug", outer / "code/metaug", ignore=shutil.ignore_patterns("__py*"))
    git(outer, "init", "-q")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "another project")
    return outer / "code"


def commit_of(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(folder))
    ask = [sys.executable, "-c", ASK]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_code_inside_another_checkout_does_not_name_its_commit(copy, monkeypatch):
    assert commit_of(copy, monkeypatch) == ["None", "None"]


def test_a_checkout_names_its_commit_and_whether_it_was_changed(copy, monkeypatch):
    git(copy, "init", "-q")
    git(copy, "add", "-A")
    git(copy, "commit", "-qm", "the code")
    assert commit_of(copy, monkeypatch) == [git(copy, "rev-parse", "HEAD"), "False"]
    (copy / "metaug/suite/show.py").write_text("")
    assert commit_of(copy, monkeypatch)[1] == "True"


def test_git_dir_of_the_caller_is_not_asked(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(copy.parent / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(copy))
    assert commit_of(copy, monkeypatch) == ["None", "None"]


def test_without_git_there_is_no_commit(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(copy, monkeypatch) == ["None", "None"]
