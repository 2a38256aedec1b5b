"""How far a run is, by what is on disk."""

import os
from pathlib import Path

import pytest

from metaug.suite.plan import load_plan
from metaug.suite.record import failure_path, record_path
from metaug.suite.remaining import trainings_of
from metaug.training.curve import CURVE
from tests.paper.synthetic import write_records

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="plan")
def plan_fixture(tmp_path, monkeypatch):
    """A plan of which nothing has been run, with three trials in jobs of two."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    return load_plan({"methods": ["simclr"], "trials": 3, "trials_per_job": 2})


@pytest.fixture(name="spec")
def spec_fixture(plan):
    return next(spec for spec in plan.specs_of["table1"] if spec.method == "simclr")


def test_a_job_has_the_trials_of_its_part(plan, spec):
    jobs = [("train_0", spec.hash), ("train_1", spec.hash)]
    assert [training.trials for training in trainings_of(plan, jobs)] == [(0, 1), (2,)]
    assert {training.name for training in trainings_of(plan, jobs)} == {"SimCLR, Digits-M"}


def test_records_and_failures_count_as_they_come(plan, spec):
    (training,) = trainings_of(plan, [("train_0", spec.hash)])
    assert training.finished() == 0
    training.output.mkdir(parents=True)
    record_path(training.output, 0).touch()
    assert (training.finished(), training.done()) == (1, 1.0)
    failure_path(training.output, 1).touch()
    assert (training.finished(), training.done()) == (2, 2.0)


def test_the_epochs_of_the_unfinished_trial_count_in_part(plan, spec):
    (training,) = trainings_of(plan, [("train_0", spec.hash)])
    curve = training.work / "trial_000" / "digest" / CURVE
    curve.parent.mkdir(parents=True)
    seen = []
    for epochs in (1, 4, spec.epochs):
        curve.write_text("epoch,loss\n" + "0,1.0\n" * epochs)
        seen.append(training.done())
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] < 1  # the probes are still to come


def test_what_was_valid_before_the_run_is_known_and_what_was_not_is_done_again(plan, spec):
    write_records(plan, spec)
    for trial in range(3):
        os.utime(record_path(plan.folder(spec), trial), (1, 1))
    record_path(plan.folder(spec), 1).write_text("{")
    os.utime(record_path(plan.folder(spec), 1), (1, 1))
    (training,) = trainings_of(plan, [("train_0", spec.hash)])
    assert training.known == {0}
    assert training.finished() == 1
    record_path(plan.folder(spec), 1).touch()
    assert training.finished() == 2
