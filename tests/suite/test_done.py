"""The mark of a job says what is true of its records."""

import json
import os
import shutil

import pytest

from metaug.suite.done import mark_done, mark_path, refresh_mark
from metaug.suite.record import failure_path, record_path, write_record
from tests.paper.synthetic import record_of

TRIALS = range(2)


@pytest.fixture
def spec(make_spec):
    return make_spec("simclr")


@pytest.fixture
def folder(tmp_path, spec):
    for trial in TRIALS:
        path = record_path(tmp_path / "spec", trial)
        write_record(path, spec, trial, "data", record_of(spec, trial))
    return tmp_path / "spec"


@pytest.fixture
def refreshed(folder, spec):
    """Whether there is a mark after it has been refreshed."""

    def refresh(trials=TRIALS, data="data", work="work"):
        refresh_mark(folder, folder.parent / work, spec, trials, data)
        return mark_path(folder, trials).exists()

    return refresh


def test_a_mark_that_is_missing_is_added_no_newer_than_the_records(folder, refreshed):
    os.utime(record_path(folder, 0), (1000, 1000))
    os.utime(record_path(folder, 1), (2000, 2000))
    assert refreshed()
    assert mark_path(folder, TRIALS).stat().st_mtime == 2000
    assert not refreshed(range(3))


def test_a_mark_that_holds_is_not_touched_and_no_record_is_read(folder, refreshed, monkeypatch):
    mark_done(folder, TRIALS, "data")
    before = mark_path(folder, TRIALS).stat().st_mtime_ns
    monkeypatch.setattr("metaug.suite.done.read_record", None)
    assert refreshed()
    assert mark_path(folder, TRIALS).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: record_path(folder, 1).unlink(),
        lambda folder: record_path(folder, 1).write_bytes(b""),
        lambda folder: shutil.copy(record_path(folder, 0), record_path(folder, 1)),
        lambda folder: record_path(folder, 1).rename(failure_path(folder, 1)),
    ],
    ids=["deleted", "emptied", "another trial's", "failed"],
)
def test_a_mark_that_does_not_hold_is_removed(folder, refreshed, change):
    mark_done(folder, TRIALS, "data")
    change(folder)
    assert not refreshed()


def test_a_mark_of_other_data_is_removed(folder, refreshed):
    mark_done(folder, TRIALS, "data")
    assert refreshed(data=None)
    assert not refreshed(data="other data")


def test_a_damaged_mark_is_written_again(folder, refreshed):
    mark_path(folder, TRIALS).write_text("[")
    assert refreshed()
    assert json.loads(mark_path(folder, TRIALS).read_text())["data"] == "data"


def test_no_mark_is_added_while_there_are_checkpoints(folder, refreshed):
    """A job that was killed before it removed them is run again."""
    (folder.parent / "unfinished").mkdir()
    assert not refreshed(work="unfinished")
