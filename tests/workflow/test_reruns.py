"""Nothing is trained twice, and nothing that changed is left stale."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from metaug.suite.plan import load_plan
from tests.workflow.conftest import METHODS, RENDERED, Project

pytestmark = pytest.mark.end_to_end


def test_second_run_does_nothing(finished: Project) -> None:
    assert "Nothing to be done" in finished.table1().stderr


def test_tidy_frame_holds_what_a_run_has_added(finished: Project) -> None:
    tidy = pd.read_csv(finished.folder / "results/smoke/trials.csv", keep_default_na=False)
    trained = {(record["hash"], record["trial"]) for record in finished.records()}
    assert set(tidy[["spec", "trial"]].itertuples(index=False, name=None)) == trained


def test_comments_and_touched_files_retrain_nothing(finished: Project) -> None:
    before = finished.started()
    finished.edit("workflow/scripts/train.py", "import torch", "import torch  # a comment")
    finished.edit("metaug/algorithm/mag.py", "import torch", "import torch  # a comment")
    finished.edit("baselines/simclr.py", "import torch", "import torch  # a comment")
    finished.edit("workflow/rules/trials.smk", "# One job", "# A comment. One job")
    (finished.folder / "data/digits_m-32/manifest.json").touch()
    assert "Nothing to be done" in finished.table1().stderr
    assert finished.started() == before


def test_hyperparameter_of_one_method_retrains_that_method(finished: Project) -> None:
    before = finished.started()
    finished.table1(overrides={"simclr": {"temperature": 0.2}})
    new = finished.started().keys() - before.keys()
    assert {(method, trial) for method, _, trial in new} == {("simclr", 0), ("simclr", 1)}
    assert before.items() <= finished.started().items()


def test_raised_version_retrains_the_method(finished: Project) -> None:
    before = finished.started()
    finished.edit("baselines/simclr.py", "    version = ", "    version = 1 + ")
    finished.table1()
    new = finished.started().keys() - before.keys()
    assert {(method, trial) for method, _, trial in new} == {("simclr", 0), ("simclr", 1)}


def test_deleted_record_retrains_one_trial(finished: Project) -> None:
    before, numbers = finished.started(), finished.numbers()
    victim = next(key for key in before if key[0] == "simclr" and key[2] == 1)
    time.sleep(1.1)  # `started` is in whole seconds
    (finished.folder / f"results/smoke/trials/{victim[1]}/trial_001.json").unlink()
    finished.table1()
    after = finished.started()
    assert {key for key in before if after[key] != before[key]} == {victim}
    assert finished.numbers() == numbers


def test_changed_data_retrain_everything(finished: Project) -> None:
    before = finished.started()
    time.sleep(1.1)
    manifest = finished.folder / "data/digits_m-32/manifest.json"
    array = manifest.with_name("train.npy")
    old = hashlib.sha256(array.read_bytes()).hexdigest()
    array.write_bytes(array.read_bytes()[:-1] + b"\x55")
    new = hashlib.sha256(array.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(old, new))
    finished.table1()
    after = finished.started()
    assert all(after[key] != before[key] for key in before)


def test_killed_training_resumes_with_the_same_numbers(fresh: Project, finished: Project) -> None:
    undisturbed = finished.numbers()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "table1"]
    configuration = [f"methods={METHODS}", "checkpoint_seconds=0"]
    running = subprocess.Popen(
        [*command, "--config", *configuration],
        cwd=fresh.folder,
        env={**os.environ, "PYTHONPATH": str(fresh.folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 400
    while not _second_trial_has_begun(fresh.folder) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert _second_trial_has_begun(fresh.folder), "killed too late: raise the epochs"
    finished_first = list(fresh.folder.glob("results/smoke/trials/*/trial_000.json"))
    before = {path: path.read_text() for path in finished_first}
    assert before

    fresh.table1(checkpoint_seconds=0)
    assert fresh.numbers() == undisturbed
    logs = "".join(path.read_text() for path in fresh.folder.glob("logs/smoke/train/*.log"))
    assert "trial 0 is done already" in logs
    assert {path: path.read_text() for path in before} == before
    assert not (fresh.folder / "results/smoke/work").exists() or not any(
        (fresh.folder / "results/smoke/work").iterdir()
    )


def _second_trial_has_begun(folder: Path) -> bool:
    return any(folder.glob("results/smoke/work/*/trial_001/*/checkpoint.safetensors"))


def test_what_is_rendered_is_rendered_once(rendered: Project) -> None:
    for file in ("figures/smoke/figure7.png", "results/smoke/scorecard.md"):
        assert (rendered.folder / file).exists()
    assert '<section id="figure7">' in (rendered.folder / "results/smoke/report.html").read_text()
    assert "Nothing to be done" in rendered.snakemake(*RENDERED).stderr


def claims_of(project: Project) -> set[str]:
    """The hashes of the trainings on which the claims rest."""
    with contextlib.chdir(project.folder):
        plan = load_plan(yaml.safe_load(Path("config/config.yaml").read_text()))
    return {spec.hash for spec in plan.specs_of["claims"]}


def test_deleted_record_is_noticed_by_scorecard_and_report(rendered: Project) -> None:
    victim = next(r for r in rendered.records() if r["hash"] in claims_of(rendered))
    (rendered.folder / f"results/smoke/trials/{victim['hash']}/trial_001.json").unlink()
    for target in ("scorecard", "report"):
        assert rendered.planned(target)["train_0"] == 1


def test_edited_code_is_rendered_again_and_trains_nothing(rendered: Project) -> None:
    rendered.edit("metaug/paper/figure7.py", "DATASET =", "# a comment\nDATASET =")
    made = ("figure", "verdicts", "page")
    assert rendered.planned(*RENDERED) == dict.fromkeys((*made, *RENDERED), 1)


def test_deleted_tidy_frame_is_gathered_again_and_nothing_else_done(rendered: Project) -> None:
    tidy = rendered.folder / "results/smoke/trials.csv"
    content = tidy.read_bytes()
    assert len(content.splitlines()) > 1
    tidy.unlink()
    done = rendered.snakemake("figure7", "--printshellcmds")  # with Snakemake's own report
    assert done.returncode == 0, done.stderr
    assert tidy.read_bytes() == content
    assert re.findall(r"rule (\w+):", done.stderr) == ["trials", "figure7"]


def record_of(project: Project, method: str, trial: int) -> Path:
    (key,) = (key for name, key, t in project.started() if (name, t) == (method, trial))
    return project.folder / f"results/smoke/trials/{key}/trial_{trial:03d}.json"


def test_a_damaged_record_is_named_and_trained_again(finished: Project) -> None:
    numbers = finished.numbers()
    victim = record_of(finished, "simclr", 1)
    victim.write_text(victim.read_text()[:500])
    done = finished.table1()
    name = victim.relative_to(finished.folder)
    assert f"{name} is cut short or damaged: moved aside to trial_001.json.damaged" in done.stderr
    assert finished.numbers() == numbers
    assert "Nothing to be done" in finished.table1().stderr


def test_records_without_marks_are_taken_as_they_are(finished: Project) -> None:
    """Records of an older version, or copied without what Snakemake knows of them."""
    for mark in finished.folder.glob("results/smoke/trials/*/done_*.json"):
        mark.unlink()
    shutil.rmtree(finished.folder / ".snakemake")
    assert "Nothing to be done" in finished.table1().stderr


DIVERGING = {"simclr": {"learning_rate": 1.0e18, "optimizer": "sgd"}}


def test_a_training_that_diverges_hides_nothing_and_is_an_error_each_time(fresh: Project) -> None:
    settings = [f"methods={METHODS}", f"overrides={json.dumps(DIVERGING)}"]
    for repeated in range(2):
        done = fresh.snakemake("table1", "--config", *settings)
        assert done.returncode != 0
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 2
        assert re.search(
            r"simclr .*: trial 1 failed: loss is nan at step \d+ .*; delete (\S+) to", errors[1]
        )
        assert "Traceback" not in done.stderr
        assert ("failed earlier" in done.stdout) == bool(repeated)
        assert {record["spec"]["method"] for record in fresh.records()} == {"random"}
        table = (fresh.folder / "results/smoke/tables/table1.csv").read_text()
        assert re.search(r"^random_rgb,\d", table, re.M)
        table = (fresh.folder / "results/smoke/tables/table1.md").read_text()
        assert re.search(
            r"^\| SimCLR \| failed§ .*^§ SimCLR: trial 1: loss is nan", table, re.M | re.S
        )


def start(project: Project, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", "table1", "--config", *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_of_two_runs_at_once_the_second_waits_and_trains_nothing(fresh: Project) -> None:
    runs = [start(fresh, "methods=[simclr]") for _ in range(2)]
    said = [run.communicate(timeout=500)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert sum("waiting for process" in text for text in said) == 1
    for trial in range(2):
        assert sum(f"trial {trial} is done already" in text for text in said) == 1


def test_a_killed_trainer_costs_no_finished_trial(fresh: Project) -> None:
    """Snakemake lives on and removes the outputs of the failed job."""
    run = start(fresh, "methods=[simclr]", "checkpoint_seconds=0")
    deadline = time.monotonic() + 400
    while not _second_trial_has_begun(fresh.folder) and time.monotonic() < deadline:
        time.sleep(0.005)
    (finished,) = fresh.folder.glob("results/smoke/trials/*/trial_000.json")
    before = finished.read_text()
    lock = finished.with_name(".trial_001.lock")
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    said, _ = run.communicate(timeout=100)
    assert run.returncode != 0, said
    assert finished.read_text() == before
    fresh.table1(methods=["simclr"])
    assert finished.read_text() == before
    assert len(fresh.records()) == 2
