"""Faults on purpose: kills, signals, two runs at once, a full disk, damaged files.

`python -m benchmarks.faults` disturbs a tiny Table 1 in every way listed in `FAULTS`, lets the same
command end it, and compares: its numbers must be those of an undisturbed run, to the bit, and what
was said must be lines, not tracebacks. A hundred kills take about an hour of one core; `--kills 10`
is enough for a look. Linux only.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CODE = ("Snakefile", "workflow", "profiles", "config", "metaug", "baselines", "environment.yml")
SCALE = """
name: smoke
trials: 2
datasets:
  digits_m: {image_size: 32, train_images: 200}
backbones:
  alexnet: {width: 0.0625}
spec:
  augmentation: cmc
  batch_size: 20
  epochs: 40
  optimizer: adam
  learning_rate: 0.001
  schedule: constant
hyper: {projector_hidden: 32}
probe: {epochs: 20, averaged_epochs: 10}
grid: {table3.batch_size: [20], figure4.batch_size: [20], figure4.steps_batch_size: [20]}
"""
CONFIG = ("methods=[simclr]", "checkpoint_seconds=1")
LONGEST = 600
"""Seconds after which a run counts as hanging."""


@dataclass
class Project:
    """A copy of the suite at a tiny scale.

    Attributes:
        folder: where it is.
        environment: variables of its runs.
        said: what its runs printed.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment |= {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        for name in CODE:
            source, copy = ROOT / name, self.folder / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        (self.folder / "config/scales/smoke.yaml").write_text(SCALE)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """A run in a process group of its own; at the block's end its output is kept."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "1", "table1", "--config", *CONFIG],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                yield process
                process.wait(LONGEST)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                output.seek(0)
                self.said.append(output.read())

    def run(self) -> int:
        """A run to its end; its exit status."""
        with self.running() as process:
            pass
        return process.returncode

    def trainer(self) -> int | None:
        """The process that trains now, if there is one."""
        for lock in self.folder.glob("results/smoke/trials/*/.trial_*.lock"):
            number, _, _ = lock.read_text().partition(" ")
            if number and b"train.py" in _command(int(number)):
                return int(number)
        return None

    def wait_for(self, process: subprocess.Popen[str], happened: Callable[[], Any]) -> Any:
        """What `happened` returns as soon as it is true; an error if the run ends before."""
        while process.poll() is None:
            if result := happened():
                return result
            time.sleep(0.01)
        raise RuntimeError("the run was over before it could be disturbed")

    def checkpoint(self) -> Path | None:
        """A checkpoint, if there is one."""
        return next(self.folder.glob("results/smoke/work/*/*/*/checkpoint.safetensors"), None)

    def numbers(self) -> dict[str, Any]:
        """All numbers but durations, of records and table, by file."""
        found: dict[str, Any] = {}
        for path in sorted(self.folder.glob("results/smoke/trials/*/trial_*.json")):
            record = json.loads(path.read_text())
            rows = [row for row in record["rows"] if "seconds" not in row["metric"]]
            found[f"{path.parent.name}/{path.name}"] = [rows, record["curve"]]
        table = self.folder / "results/smoke/tables/table1.csv"
        found[table.name] = table.read_text() if table.exists() else None
        return found

    def leftovers(self) -> list[str]:
        """What a run should have cleared away."""
        work = (self.folder / "results/smoke/work").glob("*/*")
        temporary = (p for f in ("results", "data") for p in (self.folder / f).rglob(".*.tmp"))
        return [str(path.relative_to(self.folder)) for path in (*work, *temporary)]


def _command(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def _expect(condition: object, what: str) -> None:
    if not condition:
        raise RuntimeError(what)


def _kill_trainer(project: Project) -> None:
    """Snakemake lives on: it removes the outputs of the failed job."""
    with project.running() as process:
        project.wait_for(process, project.checkpoint)
        os.kill(project.wait_for(process, project.trainer), signal.SIGKILL)
    _expect(process.returncode != 0, "a killed trainer was not an error")


def _kill_snakemake(project: Project) -> None:
    with project.running() as process:
        project.wait_for(process, project.checkpoint)
        trainer = project.wait_for(process, project.trainer)
        process.kill()
    deadline = time.monotonic() + 30
    while b"train.py" in _command(trainer) and time.monotonic() < deadline:
        time.sleep(0.1)
    _expect(b"train.py" not in _command(trainer), "the trainer outlived Snakemake")


def _terminate_trainer(project: Project) -> None:
    with project.running() as process:
        checkpoint = project.wait_for(process, project.checkpoint)
        before = checkpoint.stat().st_mtime_ns
        os.kill(project.wait_for(process, project.trainer), signal.SIGTERM)
    _expect(checkpoint.stat().st_mtime_ns > before, "SIGTERM wrote no checkpoint")
    _expect("stopped by SIGTERM" in project.said[-1], "SIGTERM was not told")


def _interrupt(project: Project) -> None:
    """Ctrl-C in a terminal reaches every process of the group."""
    with project.running() as process:
        project.wait_for(process, project.checkpoint)
        os.killpg(process.pid, signal.SIGINT)
    _expect(process.returncode != 0, "Ctrl-C was not an error")


def _two_runs(project: Project) -> None:
    with project.running() as first, project.running() as second:
        pass
    _expect((first.returncode, second.returncode) == (0, 0), "one of the runs ended in an error")


def _remove_results(project: Project) -> None:
    with project.running() as process:
        project.wait_for(process, project.checkpoint)
        shutil.rmtree(project.folder / "results", ignore_errors=True)


def _damage_records(project: Project) -> None:
    _expect(project.run() == 0, "the first run failed")
    first, second = sorted(project.folder.glob("results/smoke/trials/*/trial_*.json"))
    first.write_text(first.read_text()[:500])
    second.write_text(second.read_text().replace('"value": ', '"value": NaN, "was": ', 1))
    _expect(project.run() == 0, "damaged records were an error")
    _expect(project.said[-1].count("moved aside") == 2, "damaged records were not named")


def _damage_checkpoint(project: Project) -> None:
    with project.running() as process:
        checkpoint = project.wait_for(process, project.checkpoint)
        os.killpg(process.pid, signal.SIGKILL)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    _expect(project.run() == 0, "a damaged checkpoint was an error")
    _expect("starts anew" in project.said[-1], "a damaged checkpoint was not named")


@contextmanager
def _mounted(project: Project, options: str) -> Iterator[Path]:
    """`results` on a small disk of its own."""
    results = project.folder / "results"
    results.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(results)]
    if subprocess.run(command, capture_output=True).returncode:
        raise PermissionError("mounting needs root")
    try:
        yield results
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)


def _fill_disk(project: Project) -> None:
    """30 MB that are nearly full; then there is room, on another disk, for what was saved."""
    with _mounted(project, "size=30m") as results:
        (results / "other").write_bytes(bytes(30 * 2**20 - 400_000))
        _expect(project.run() != 0, "a full disk was not an error")
        _expect("No space left on device" in project.said[-1], "a full disk was not named")
        saved = project.folder / "saved"
        shutil.copytree(results, saved, ignore=shutil.ignore_patterns("other"))
    shutil.rmtree(project.folder / "results")
    saved.rename(project.folder / "results")


def _read_only(project: Project) -> None:
    with _mounted(project, "ro"):
        _expect(project.run() != 0, "a read-only folder was not an error")
        _expect("Read-only file system" in project.said[-1], "the reason was not given")


def _no_git_no_home(project: Project) -> None:
    """A `PATH` with every program but git's, and no home folder."""
    project.environment.pop("HOME", None)
    programs = project.folder / "programs"
    programs.mkdir()
    for folder in os.get_exec_path():
        for program in Path(folder).glob("*"):
            copy = programs / program.name
            if not program.name.startswith("git") and not copy.is_symlink():
                copy.symlink_to(program)
    project.environment["PATH"] = str(programs)


def _others_checkout(project: Project) -> None:
    """Git refuses to speak about a checkout of another user."""
    for command in (["git", "init", "-q"], ["chown", "-R", "65534", "."]):
        if subprocess.run(command, cwd=project.folder, capture_output=True).returncode:
            raise PermissionError("a change of owner needs root")


FAULTS: Mapping[str, Callable[[Project], None]] = {
    "kill -9 of the trainer alone": _kill_trainer,
    "kill -9 of Snakemake alone": _kill_snakemake,
    "SIGTERM to the trainer": _terminate_trainer,
    "Ctrl-C": _interrupt,
    "two runs at once": _two_runs,
    "results removed in the middle": _remove_results,
    "a record cut short, one with NaN": _damage_records,
    "a flipped bit in a checkpoint": _damage_checkpoint,
    "a disk of 30 MB, full": _fill_disk,
    "a read-only results folder": _read_only,
    "no git, no HOME": _no_git_no_home,
    "another user's checkout": _others_checkout,
}


@dataclass(frozen=True)
class Outcome:
    """One line of the table."""

    fault: str
    disturbed: int
    tracebacks: int
    verdict: str
    seconds: float


def sweep(folder: Path, kills: int, only: Sequence[str]) -> Iterator[Outcome]:
    """Disturb and compare, fault by fault."""
    start = time.monotonic()
    undisturbed = _project(folder)
    _expect(undisturbed.run() == 0, f"the undisturbed run failed:\n{undisturbed.said}")
    length = time.monotonic() - start
    expected = undisturbed.numbers()
    yield Outcome("none", 0, _tracebacks(undisturbed), _verdict(undisturbed, expected), length)
    if kills:
        yield _kill_at_random(folder, kills, length, expected)
    for name, disturb in FAULTS.items():
        if only and not any(text in name for text in only):
            continue
        start, project = time.monotonic(), _project(folder)
        try:
            disturb(project)
            verdict = _verdict(project, expected) if project.run() == 0 else "does not end"
        except PermissionError as error:
            verdict = f"not run: {error}"
        except RuntimeError as error:
            verdict = str(error)
        seconds = time.monotonic() - start
        yield Outcome(name, 1, _tracebacks(project), verdict, seconds)


def _kill_at_random(folder: Path, kills: int, length: float, expected: object) -> Outcome:
    """Kill whole runs at moments spread over their length, from preparation to the table."""
    start, moments = time.monotonic(), random.Random(0)
    done, tracebacks, verdict = 0, 0, "equal"
    while done < kills and verdict == "equal":
        project, status = _project(folder), None
        while status is None:
            with project.running() as process:
                try:
                    status = process.wait(moments.uniform(0, length) if done < kills else LONGEST)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    done += 1
        tracebacks += _tracebacks(project)
        verdict = _verdict(project, expected) if status == 0 else "does not end"
        print(f"{done} of {kills} kills: {verdict}", file=sys.stderr)
    name = "kill -9 of all at random moments"
    return Outcome(name, done, tracebacks, verdict, time.monotonic() - start)


def _project(folder: Path) -> Project:
    return Project(Path(tempfile.mkdtemp(dir=folder)))


def _tracebacks(project: Project) -> int:
    return sum(text.count("Traceback (most recent call last)") for text in project.said)


def _verdict(project: Project, expected: object) -> str:
    if project.numbers() != expected:
        return "OTHER NUMBERS"
    return f"equal, but left: {', '.join(left)}" if (left := project.leftovers()) else "equal"


def main() -> None:
    """Print the table, a line as each fault has been tried; what failed is exit status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="at random moments; default: 100")
    parser.add_argument("--only", nargs="*", default=[], help="faults whose name has this text")
    arguments = parser.parse_args()
    failed = False
    print(
        "| fault | disturbed | tracebacks | numbers | seconds |\n| --- | ---: | ---: | --- | ---: |"
    )
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for o in sweep(Path(folder), arguments.kills, arguments.only):
            print(
                f"| {o.fault} | {o.disturbed} | {o.tracebacks} | {o.verdict} | {o.seconds:.0f} |",
                flush=True,
            )
            failed |= o.tracebacks > 0 or not o.verdict.startswith(("equal", "not run"))
    sys.exit(failed)


if __name__ == "__main__":
    main()
