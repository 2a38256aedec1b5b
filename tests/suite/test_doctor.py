"""`metaug doctor` says what there is, what is missing and what can be run."""

import json
import os
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from metaug import __main__ as cli
from metaug.config import DATA_ROOT_VARIABLE
from metaug.data.datasets import DATASETS
from metaug.data.prepare import prepare
from metaug.suite import doctor
from tests.workflow.test_data import write_images

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """A folder with the configuration, without data; the environment is an activated one, so
    that commands need no path."""
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "config", folder / "config")
    monkeypatch.chdir(folder)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)


@pytest.fixture(name="run")
def run_fixture(monkeypatch, capsys):
    """Run `metaug doctor ARGUMENTS`: exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metaug", "doctor", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


@pytest.fixture(name="root")
def root_fixture(tmp_path):
    """A data root that holds a CIFAR-10 of two classes with three images in each split."""
    write_images(tmp_path / "data", 3)
    return tmp_path / "data"


def lines_with(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(name)]


def test_smoke_can_be_run_without_any_data(run):
    status, out, err = run()
    assert (status, err) == (0, "")
    assert "✓ digits_m: made on the spot" in out
    assert "    snakemake --cores all table1\n" in out  # smoke is the scale of config.yaml
    assert "lite: no data set found" in out


def test_every_data_set_is_found_or_it_is_said_where_to_get_it(run, root):
    _, out, _ = run("--config", f"data_root={root}")
    assert (
        f"✓ cifar10: 6 training and 6 test images of 2 classes: folder {root.resolve()}/cifar10"
        in out
    )
    for name in set(DATASETS) - {"cifar10", "digits_m"}:
        place = root / DATASETS[name].folders[0]
        assert f"· {name}: not in {place}; get it: {DATASETS[name].obtain}" in out


def test_images_of_ones_own_are_found(run, root):
    (root / "cifar10").rename(root / "leaves")
    status, out, _ = run("--config", f"data_root={root}", "datasets=[leaves]")
    assert status == 0
    assert f"✓ leaves: 6 training and 6 test images of 2 classes: {root}/leaves, your own" in out
    assert 'datasets=["leaves"]' in out


def test_a_folder_that_is_not_complete_is_said_to_be_so(run, root):
    shutil.rmtree(root / "cifar10/train")
    _, out, _ = run("--config", f"data_root={root}")
    (line,) = (line for line in out.splitlines() if " cifar10: " in line)
    assert "train" in line.partition("; get it: ")[0]


def test_what_is_there_is_a_command_to_type(run, root):
    status, out, _ = run("--scale", "lite", "--command", "--config", f"data_root={root}")
    assert status == 0
    words = shlex.split(out)
    assert Path(words[0]).name == "snakemake"
    assert words[1:] == [
        *("--cores", "all", "table1", "--config"),
        *("scale=lite", f"data_root={root}", 'datasets=["cifar10"]'),
    ]


def test_the_command_keeps_the_settings_that_were_given(run, root):
    given = (f"data_root={root}", "sources=[folder]", "methods=[simclr]", "trials=3")
    words = shlex.split(run("--scale", "lite", "--command", "--config", *given)[1])
    assert {'sources=["folder"]', 'methods=["simclr"]', "trials=3"} <= {*words}


def test_a_data_root_of_the_environment_need_not_be_typed(run, root, monkeypatch):
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(root))
    assert "data_root is " in run()[1]
    assert "data_root" not in run("--scale", "lite", "--command")[1]


def test_a_scale_without_data_is_an_error_that_says_where_to_get_them(run):
    for arguments in ((), ("--command",)):
        status, out, err = run("--scale", "lite", *arguments)
        assert status == 1
        errors = lines_with(out + err, "error: ")
        assert [line.split(": ")[1] for line in errors] == ["tiny_imagenet", "cifar10", "cifar100"]
        assert "https://www.cs.toronto.edu/~kriz/cifar.html" in errors[1]


def test_a_data_set_that_the_config_names_must_be_there(run, root):
    given = ("--scale", "lite", "--config", f"data_root={root}")
    assert run(*given)[0] == 0
    assert run(*given, "datasets=[cifar10]")[0] == 0
    assert run(*given, "datasets=[cifar10,cifar100]")[0] == 1


def test_damaged_data_are_an_error_of_the_scale_that_needs_them(run, root):
    shutil.rmtree(root / "cifar10/test/dog")
    status, out, _ = run("--scale", "lite", "--config", f"data_root={root}")
    assert status == 1
    (line,) = (line for line in lines_with(out, "error: ") if "cifar10:" in line)
    assert "different classes: dog" in line
    assert run("--config", f"data_root={root}")[0] == 0


def test_a_data_root_that_does_not_exist_is_named(run):
    status, out, _ = run("--scale", "lite", "--config", "data_root=/nowhere")
    assert status == 1
    assert "data_root /nowhere does not exist" in out


def test_prepared_data_need_no_data_root(run, root):
    prepare("cifar10", 32, "data/cifar10-32", root)
    assert "prepared in data/cifar10-32" in run("--scale", "lite")[1]
    assert """'datasets=["cifar10"]'""" in run("--scale", "lite", "--command")[1]


def test_nothing_is_written_and_nothing_downloaded(run, root):
    before = sorted(Path.cwd().rglob("*")), sorted(root.rglob("*"))
    run("--config", f"data_root={root}")
    assert (sorted(Path.cwd().rglob("*")), sorted(root.rglob("*"))) == before


def test_json_says_the_same_to_scripts(run, root):
    status, out, _ = run("--json", "--scale", "lite", "--config", f"data_root={root}")
    found = json.loads(out)
    assert (status, found["ok"], found["problems"]) == (0, True, [])
    assert found["datasets"] == ["cifar10"]
    assert found["command"].endswith("""'datasets=["cifar10"]'""")
    assert {finding["part"] for finding in found["findings"]} == {
        *("software", "devices", "disk", "data")
    }
    status, out, _ = run("--json", "--scale", "lite")
    found = json.loads(out)
    assert (status, found["ok"], found["command"]) == (1, False, None)
    assert len(found["problems"]) == 3


def test_packages_that_are_missing_or_too_old_are_named(run, monkeypatch):
    required = ["torch>=2.6", 'snakemake>=1000; extra == "suite"', 'nothing-such; extra == "slurm"']
    monkeypatch.setattr(metadata, "requires", lambda name: required)
    status, out, _ = run()
    assert status == 1
    version = metadata.version("snakemake")
    install = "pip install -e '.[suite]' in the folder of the project"
    assert f"error: suite: snakemake {version} is not >=1000; {install}" in out
    assert "· slurm: nothing-such is missing" in out  # not needed but on clusters


def test_a_device_that_is_not_there_is_an_error(run, monkeypatch):
    monkeypatch.setattr(doctor, "visible_gpus", list)
    status, out, _ = run("--config", "device=cuda")
    assert status == 1
    assert "error: gpu: device=cuda is not available here; try device=auto" in out


def test_a_full_disk_and_too_many_threads_are_errors(run, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_DISK", float("inf"))
    status, out, _ = run("--config", "threads_per_job=1000")
    assert status == 1
    assert [line.split(":")[1] for line in lines_with(out, "error:")] == [" cpu", " disk"]


def test_a_wrong_config_is_one_line(run):
    status, out, err = run("--config", "datasets=[cifar]")
    assert (status, out) == (2, "")
    assert err.startswith("error: data set cifar not found; did you mean 'cifar10'?")
    assert err.count("\n") == 1
