"""A record is whole and possible, or it is moved aside with a line that names it."""

import json

import pytest

from metaug.errors import UserError
from metaug.suite.record import failure_path, read_failure, read_record, record_path, write_record
from tests.paper.synthetic import record_of


@pytest.fixture
def spec(make_spec):
    return make_spec("simclr")


@pytest.fixture
def path(tmp_path, spec):
    path = record_path(tmp_path, 0)
    write_record(path, spec, 0, "data", record_of(spec, 0))
    return path


def changed(path, change):
    """The record with a change made to it, as bytes."""
    record = json.loads(path.read_text())
    change(record)
    return json.dumps(record).encode()


def setting(key, value):
    return lambda path: changed(path, lambda record: record.update({key: value}))


def row(key, value):
    def change(record):
        top1 = next(row for row in record["rows"] if row["metric"] == "top1")
        top1[key] = value

    return lambda path: changed(path, change)


DAMAGED = {
    "empty": (lambda path: b"", "is empty"),
    "cut short": (lambda path: path.read_bytes()[:500], "is cut short or damaged"),
    "not UTF-8": (lambda path: b"\xff\xfe{}", "is cut short or damaged"),
    "nested without end": (lambda path: b"[" * 100_000, "is cut short or damaged"),
    "something else": (lambda path: b"[1, 2]", "is damaged"),
    "null": (lambda path: b"null", "is damaged"),
    "another format": (setting("format", 0), "has format 0 instead of 1"),
    "another trial": (setting("trial", 3), "is of trial 3 of spec"),
    "another spec": (setting("hash", "0" * 12), "is of trial 0 of spec 000000000000"),
    "a spec that is not its hash's": (setting("spec", {}), "has another spec than its folder"),
    "no rows": (setting("rows", []), "is damaged (rows:"),
    "NaN": (row("value", float("nan")), "value: Input should be a finite number"),
    "a null": (row("value", None), "value: Input should be a valid number"),
    "a text": (row("value", "61.2"), "value: Input should be a valid number"),
    "150 per cent": (row("value", 150.0), "a top1 of 150.0 % is impossible"),
    "-1 per cent": (row("value", -1.0), "a top1 of -1.0 % is impossible"),
    "NaN in the curve": (setting("curve", [{"epoch": 0, "loss": float("nan")}]), "curve.0.loss"),
    "no provenance": (setting("provenance", None), "provenance: "),
    "a row twice": (
        lambda path: changed(path, lambda record: record["rows"].append(record["rows"][0])),
        "twice",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_moved_aside_with_a_line_that_names_it(path, spec, capsys, name):
    make, why = DAMAGED[name]
    content = make(path)
    path.write_bytes(content)
    assert read_record(path, spec, 0) is None
    message = capsys.readouterr().err
    assert message.startswith(f"{path} ")
    assert why in message
    assert message.endswith(
        ": moved aside to trial_000.json.damaged; its trial counts as not run\n"
    )
    assert message.count("\n") == 1
    assert not path.exists()
    assert path.with_name("trial_000.json.damaged").read_bytes() == content
    assert read_record(path, spec, 0) is None
    assert capsys.readouterr().err == ""


def test_a_whole_record_is_read_and_stays(path, spec, capsys):
    assert read_record(path, spec, 0, "data")["rows"] == record_of(spec, 0)["rows"]
    assert read_record(path, spec, 0, "other data") is None
    assert path.exists()
    assert capsys.readouterr().err == ""


def test_a_record_that_cannot_be_read_is_an_error_that_names_it(path, spec):
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=f"cannot read {path}"):
        read_record(path, spec, 0)


def test_a_failure_says_why_and_is_checked_like_a_record(tmp_path, spec, capsys):
    path = failure_path(tmp_path, 0)
    content = {key: record_of(spec, 0)[key] for key in ("started", "provenance")}
    write_record(path, spec, 0, "data", {**content, "reason": "loss is nan at step 3 (epoch 0)"})
    failure = read_failure(tmp_path, spec, 0, "data")
    assert (failure.trial, failure.reason, failure.path) == (
        0,
        "loss is nan at step 3 (epoch 0)",
        path,
    )
    assert read_failure(tmp_path, spec, 0, "other data") is None
    path.write_text("")
    assert read_failure(tmp_path, spec, 0) is None
    assert capsys.readouterr().err.startswith(f"{path} is empty: moved aside")
