"""How far a run is, by what its jobs leave on disk; the same for jobs of this machine and of a
cluster."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metaug.reporting.names import dataset_name, method_name
from metaug.suite.plan import Plan
from metaug.suite.record import failure_path, record_path
from metaug.training.curve import CURVE


@dataclass(frozen=True)
class Training:
    """The trials of one job.

    Attributes:
        key: name of the job's rule, and the hash of what is trained.
        name: method and data set, for readers.
        trials: trial numbers.
        known: those of them that were done before the run.
        epochs: of a trial.
        output: folder of the records.
        work: folder of what is unfinished.
        stale: the files that say of other trials that they are done and were there before the run,
            with their times of change (ns): they are of other data, or damaged.
    """

    key: tuple[str, str]
    name: str
    trials: tuple[int, ...]
    known: frozenset[int]
    epochs: int
    output: Path
    work: Path
    stale: Mapping[Path, int]

    def finished(self) -> int:
        """How many trials are done, failed ones included."""
        return sum(trial in self.known or self._ended(trial) for trial in self.trials)

    def epoch(self) -> int:
        """The epochs behind the trial that is being trained; 0 where none is."""
        rows = [0]
        for trial in self.trials:
            for curve in self.work.glob(f"trial_{trial:03d}/*/{CURVE}"):
                with suppress(OSError):  # its trial has just ended
                    rows.append(curve.read_bytes().count(b"\n") - 1)
        return min(max(rows), self.epochs)

    def done(self) -> float:
        """Finished trials and the share of the unfinished one."""
        finished = self.finished()
        if finished == len(self.trials) or not self.epochs:
            return float(finished)
        return finished + self.epoch() / (self.epochs + 1)  # the probes take some time, too

    def _ended(self, trial: int) -> bool:
        return any(
            time != self.stale.get(path) for path, time in _times(self.output, [trial]).items()
        )


def _times(output: Path, trials: Iterable[int]) -> dict[Path, int]:
    """The files that say that trials are done, with their times of change (ns)."""
    found = {}
    for trial in trials:
        for path in (record_path(output, trial), failure_path(output, trial)):
            with suppress(OSError):
                found[path] = path.stat().st_mtime_ns
    return found


def trainings_of(plan: Plan, jobs: Iterable[tuple[str, str]]) -> list[Training]:
    """The trainings of a run that starts now.

    Args:
        plan: says where everything lies.
        jobs: for each job that is to run, its rule, `train_0`, and the hash of its spec.
    """
    found = []
    for rule, key in jobs:
        spec, part = plan.specs[key], int(rule.rpartition("_")[2])
        trials, folder = tuple(plan.parts[part]), plan.folder(spec)
        known = plan.done(spec) & {*trials}
        parts = (method_name(spec.method), dataset_name(spec.dataset), plan.setting(spec))
        found.append(
            Training(
                key=(rule, key),
                name=", ".join(text for text in parts if text),
                trials=trials,
                known=known,
                epochs=spec.epochs,
                output=folder,
                work=plan.work_folder(spec),
                stale=_times(folder, {*trials} - known),
            )
        )
    return found
