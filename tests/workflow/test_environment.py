"""The caller's environment stays outside."""

from pathlib import Path

import pytest

from tests.workflow.conftest import Project


@pytest.mark.end_to_end
def test_a_run_is_the_same_in_a_strange_environment_and_another_folder(
    fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "matplotlibrc"
    settings.write_bytes(b"text.usetex: True\nfont.size: large\n\xff")
    monkeypatch.setenv("MATPLOTLIBRC", str(settings))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.of_a_notebook")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    before = files_of(fresh)

    elsewhere = tmp_path / "elsewhere"
    done = fresh.snakemake("figure1", "--directory", str(elsewhere))
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in (elsewhere / "figures/smoke").iterdir()} == {
        ".csv",
        ".pdf",
        ".png",
    }
    assert files_of(fresh) == before


def files_of(project: Project) -> set[Path]:
    """All paths but what Python compiles."""
    every = project.folder.rglob("*")
    return {path for path in every if path.suffix != ".pyc" and path.name != "__pycache__"}
