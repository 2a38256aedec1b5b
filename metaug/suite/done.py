"""The mark that all trials of a job are done, which Snakemake is given as the job's output.

Snakemake deletes the outputs of a job that fails, so records must not be outputs: whatever happens
to a job, it can only lose its mark. The mark holds sizes and times of the files that it
stands for. Before Snakemake looks, `refresh_mark` makes it say what is true.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from metaug.errors import UserError
from metaug.files import atomic_write_text
from metaug.spec import TrialSpec
from metaug.suite.record import failure_path, read_record, record_path


def mark_path(folder: Path, trials: Iterable[int]) -> Path:
    """The mark of a job in its spec's folder."""
    trials = list(trials)
    return folder / f"done_{trials[0]:03d}-{trials[-1]:03d}.json"


def mark_done(folder: Path, trials: Iterable[int], data: str) -> None:
    """Mark the trials as done on the data with digest `data`.

    Raises:
        UserError: a record has been removed since it was written.
    """
    trials = list(trials)
    path, content = mark_path(folder, trials), _content(folder, trials, data)
    if missing := {file.name for file in _files(folder, trials)} - content["outcomes"].keys():
        names = ", ".join(sorted(missing)).replace("failed", "trial")
        raise UserError(
            f"{names} in {folder} was removed during the run; run the same command again"
        )
    atomic_write_text(path, json.dumps(content, indent=1) + "\n")


def refresh_mark(
    folder: Path, work: Path, spec: TrialSpec, trials: Iterable[int], data: str | None
) -> None:
    """Remove a mark that does not hold, and add one that is missing.

    A record may have been deleted, damaged or replaced since, or copied here without a mark. Reads
    the records only if their sizes or times are not those of the mark. A mark does not outlast its
    run if a trial failed: so every run says that it did, and ends in an error.

    Args:
        folder: the folder of the spec's records.
        work: the folder of its checkpoints. While there are any, no mark is added: the job that
            adds it removes them.
        spec: what was trained.
        trials: those of the job.
        data: digest of the prepared data; None where there are none, which fits any.
    """
    trials = list(trials)
    path = mark_path(folder, trials)
    records = [record_path(folder, trial) for trial in trials]
    complete = all(record.exists() for record in records)
    mark = _read(path)
    if complete and mark and mark == _content(folder, trials, data or mark.get("data")):
        return
    valid = [read_record(r, spec, t, data) for r, t in zip(records, trials, strict=True)]
    with suppress(OSError, UserError):  # a read-only folder: Snakemake will say so
        if not all(valid) or work.exists():
            path.unlink(missing_ok=True)
            return
        atomic_write_text(path, json.dumps(_content(folder, trials, data), indent=1) + "\n")
        newest = max(record.stat().st_mtime_ns for record in records)
        os.utime(path, ns=(newest, newest))


def _content(folder: Path, trials: list[int], data: str | None) -> dict[str, Any]:
    stamps = {}
    for file in _files(folder, trials):
        with suppress(OSError):
            status = file.stat()
            stamps[file.name] = [status.st_size, status.st_mtime_ns]
    return {"data": data, "outcomes": stamps}


def _files(folder: Path, trials: list[int]) -> list[Path]:
    """The record of each trial or, where there is none, its failure."""
    pairs = ((record_path(folder, t), failure_path(folder, t)) for t in trials)
    return [record if record.exists() else failure for record, failure in pairs]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        mark = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return mark if isinstance(mark, dict) else None
