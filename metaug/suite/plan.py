"""The plan: which artefacts there are, which trials each needs, and where everything lies."""

import hashlib
import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pandas as pd

import metaug.extras
import metaug.paper
from metaug.config import Config, Scale, load_config
from metaug.data.arrays import MANIFEST, recorded_digest
from metaug.data.prepare import expected_origin
from metaug.errors import UserError
from metaug.files import exclusive
from metaug.grid import Grid, user_datasets
from metaug.paper.cells import Place, specs_of
from metaug.paper.claims import decide
from metaug.reporting.aggregate import COLUMNS, write_frame
from metaug.reporting.claims import Outcome
from metaug.reporting.figures import Drawing
from metaug.reporting.looks import LOOKS
from metaug.reporting.results import Query, Results, readout_of
from metaug.reporting.tables import Table
from metaug.spec import TrialSpec, suggestion
from metaug.suite.cluster import files_mb, memory_mb
from metaug.suite.done import mark_path, refresh_mark
from metaug.suite.record import Failure, read_failure, read_record, record_path
from metaug.suite.schedule import Schedule, read_schedule, write_schedule
from metaug.training.parallel import check_processes

TABLE_ENDINGS = ("csv", "md", "tex", "html")
FIGURE_ENDINGS = ("pdf", "png", "csv")


class Plan:
    """Everything the Snakefile asks for: artefacts, specs and paths of one config."""

    def __init__(self, config: Config, scale: Scale, scales: Path | None = None) -> None:
        self.config = config
        self.scale = scale
        self.grid = Grid(scale, config, user_datasets(config))
        self._scales = scales
        self._origins: dict[tuple[str, int], str] = {}
        self._run_lock = Path("results") / scale.name / ".run.lock"
        self._held = ExitStack()

    @cached_property
    def modules(self) -> dict[str, ModuleType]:
        """The modules of `metaug.paper` and `metaug.extras`, by name."""
        return {
            info.name: importlib.import_module(f"{package.__name__}.{info.name}")
            for package in (metaug.paper, metaug.extras)
            for info in pkgutil.iter_modules(package.__path__)
        }

    @property
    def artefacts(self) -> dict[str, ModuleType]:
        """Those that need trials: table1, figure2, ..., and claims."""
        return {name: m for name, m in self.modules.items() if hasattr(m, "cells")}

    @cached_property
    def rendered(self) -> dict[str, type]:
        """Those that are rendered, and as what: `Table` or `Drawing`."""
        return {
            name: get_type_hints(module.render)["return"]
            for name, module in self.modules.items()
            if hasattr(module, "render")
        }

    @cached_property
    def cells(self) -> dict[str, dict[Place, Query]]:
        """The queries that fill each artefact's places.

        Raises:
            UserError: the scale's `grid` has a key that no artefact reads.
        """
        cells = {name: module.cells(self.grid) for name, module in self.artefacts.items()}
        self._check_keys()
        return cells

    def _check_keys(self) -> None:
        if self.scale.grid.keys() <= self.grid.keys_read:
            return
        # An artefact without the methods or data sets that the user wants reads none of its keys;
        # on the paper's grid, where every method can be trained, all are read.
        for module in self.artefacts.values():
            module.cells(self._paper)
        known = self.grid.keys_read | self._paper.keys_read
        for key in sorted(self.scale.grid.keys() - known):
            where = self.grid.where(key)
            raise UserError(f"{where} is read by no table or figure; {suggestion(key, known)}")

    @cached_property
    def specs_of(self) -> dict[str, tuple[TrialSpec, ...]]:
        """The distinct specs that each artefact needs."""
        return {name: specs_of(cells) for name, cells in self.cells.items()}

    @cached_property
    def specs(self) -> dict[str, TrialSpec]:
        """Every distinct spec by its hash: equal specs of different artefacts are one."""
        return {spec.hash: spec for specs in self.specs_of.values() for spec in specs}

    @property
    def tables(self) -> list[str]:
        """The paper's tables."""
        return [name for name in self.rendered if name.startswith("table")]

    @property
    def figures(self) -> list[str]:
        """The paper's figures, and its Table 1 as a dot plot."""
        return [name for name in self.rendered if name.startswith(("figure", "dots"))]

    @property
    def tidy_frame(self) -> Path:
        """The file of the frame of all records."""
        return Path("results") / self.scale.name / "trials.csv"

    def results(self, artefact: str | None = None) -> Results:
        """The trials of an artefact, or of all artefacts, that have been run.

        Raises:
            UserError: a record's value is not valid; names the row.
        """
        records = {spec: self.read_records(spec) for spec in self._specs(artefact)}
        rows = (row for spec in records for r in records[spec] for row in self._rows(spec, r))
        failures = {
            spec.hash: tuple(f"trial {failure.trial}: {failure.reason}" for failure in failed)
            for spec in records
            if (failed := self.failures(spec))
        }
        hits = {  # records of earlier commits have none
            (spec.hash, record["trial"]): record.get("hits", {})
            for spec, found in records.items()
            for record in found
        }
        return Results(pd.DataFrame(rows, columns=COLUMNS), failures, hits)

    def render(self, artefact: str, results: Results) -> Table | Drawing:
        """An artefact; one without trials is drawn from the code alone."""
        render = self.modules[artefact].render
        return render(self.grid, results) if artefact in self.artefacts else render()

    def decide(self, results: Results) -> list[Outcome]:
        """Every claim of the paper, decided."""
        return decide(self.grid, results, self._paper)

    @cached_property
    def _paper(self) -> Grid:
        """The grid of the paper's protocol."""
        config, scale = load_config({"scale": "full"}, self._scales)
        return Grid(scale, config)

    def sources(self, *names: str) -> str:
        """A digest of what these artefacts show, and of the code that renders them: their modules
        and what all share.

        As a parameter of the rules that render, it has them run again after an edit; no training
        depends on it. What needs no trials is drawn from the code itself, so from all of it.
        """
        package = Path(metaug.paper.__path__[0]).parent
        others = {f"{name}.py" for name in {*self.artefacts, *self.rendered} - {*names}}
        folders = (package / "paper", package / "extras", package / "reporting")
        files = {file for folder in folders for file in folder.glob("[!.]*.*")}
        files = {file for file in files if file.name not in others}
        if not {*names} <= self.artefacts.keys():
            files |= {*package.rglob("[!.]*.py")}
        digest = hashlib.sha256()
        for name in sorted({*names} & self.artefacts.keys()):
            for place, query in self.cells[name].items():
                digest.update(f"{place} {query}\n".encode())
        for path in sorted(files):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def files(self, artefact: str) -> list[Path]:
        """The files of a rendered artefact."""
        if self.rendered[artefact] is Table:
            folder = Path("results") / self.scale.name / "tables"
            return [folder / f"{artefact}.{ending}" for ending in TABLE_ENDINGS]
        folder = Path("figures") / self.scale.name
        return [folder / f"{artefact}.{ending}" for ending in FIGURE_ENDINGS]

    def wanted(self, artefact: str) -> list[Path]:
        """What the target of an artefact asks for: its files, its marks and the tidy frame too.

        Snakemake does not make a missing file again while what was made from it is there: a
        deleted record, which loses its job the mark, would go unnoticed.
        """
        if artefact not in self.artefacts:
            return self.files(artefact)
        return [*self.files(artefact), *self.marks(artefact), self.tidy_frame]

    @property
    def parts(self) -> list[range]:
        """The trials of each job of a spec: with a budget, one each."""
        if self.config.hours is not None:
            return [range(trial, trial + 1) for trial in self._counted]
        trials, size = self.grid.trials, self.config.trials_per_job or self.grid.trials
        return [range(start, min(start + size, trials)) for start in range(0, trials, size)]

    @property
    def _counted(self) -> range:
        """The trials that count: those of the config or, where it names no number, the scale's and
        those that were trained beyond them."""
        extra = 0 if self.config.trials else LOOKS[-1]
        return range(max(self.grid.trials, extra))

    @property
    def budget_file(self) -> Path:
        """The file of the trials that a run with a budget trains (`metaug.suite.budget`)."""
        return Path("results") / self.scale.name / "budget.json"

    @cached_property
    def schedule(self) -> Schedule | None:
        """What a run with a budget trains; the process that starts the run decides it."""
        return read_schedule(self.budget_file)

    def folder(self, spec: TrialSpec | str) -> Path:
        """Folder of a spec's records."""
        return Path("results") / self.scale.name / "trials" / _hash(spec)

    def work_folder(self, spec: TrialSpec | str) -> Path:
        """Folder of a spec's checkpoints while its job runs."""
        return Path("results") / self.scale.name / "work" / _hash(spec)

    def data_folder(self, spec: TrialSpec | str) -> Path:
        """Folder of the prepared data set of a spec."""
        spec = self.specs[spec] if isinstance(spec, str) else spec
        return Path("data") / f"{spec.dataset}-{spec.image_size}"

    def training_data(self, spec: str) -> list[Path]:
        """The manifest of the prepared data set of a spec that is to be trained.

        None is asked for where nothing is prepared and every trial of this run has its record:
        these came from elsewhere, in a bundle, and tables can be made of them without the data.

        Snakemake asks for it before it runs anything, and only for what its targets need: where the
        spec cannot be trained, that is one line on stderr and exit status 2.
        """
        with _one_line():
            self.grid.check_batch(self.specs[spec])
            check_processes(self.specs[spec], self.config.processes_per_job)
        manifest = self.data_folder(spec) / MANIFEST
        if not manifest.exists() and {*self._trials_of_run(spec)} <= self.done(self.specs[spec]):
            return []
        return [manifest]

    def _trials_of_run(self, spec: str) -> Iterable[int]:
        """The trials of a spec that this run trains, or finds done."""
        if self.config.hours is None:
            return range(self.grid.trials)
        return self.schedule.trials.get(spec, ()) if self.schedule else ()

    def origin(self, dataset: str, size: int) -> str:
        """What a data set has to be prepared from: another text, another preparation.

        As a parameter it has Snakemake prepare it again after a change of `data_root`, `sources` or
        the files there. The files are listed once a process, and not opened.
        """
        key = (dataset, size)
        if key not in self._origins:
            folder, root = Path("data") / f"{dataset}-{size}", self.config.resolved_data_root()
            self._origins[key] = expected_origin(dataset, folder, root, self.config.sources)
        return self._origins[key]

    def memory_mb(self, spec: TrialSpec | str) -> int:
        """The main memory that the training of a spec asks a cluster for, in MB."""
        spec = self.specs[spec] if isinstance(spec, str) else spec
        return memory_mb(spec, self.grid.known[spec.dataset], self.config.processes_per_job)

    def files_mb(self, spec: TrialSpec) -> int:
        """What the training of a spec writes while it runs, in MB."""
        return files_mb(spec, self.grid.known[spec.dataset])

    def origin_of(self, spec: str) -> str:
        """The `origin` of the data set of a spec."""
        return self.origin(self.specs[spec].dataset, self.specs[spec].image_size)

    def marks(self, artefact: str | None = None) -> list[Path]:
        """The marks that the trials of an artefact, or of all artefacts, are done.

        All trials of each of its trainings or, with a budget, those that are scheduled.
        """
        if self.config.hours is None:
            return [self.mark(spec, part) for spec in self._specs(artefact) for part in self.parts]
        return [
            self.mark(spec, range(trial, trial + 1))
            for spec in self._specs(artefact)
            for trial in self._trials_of_run(spec.hash)
        ]

    def inputs(self, artefact: str | None = None) -> list[Path]:
        """What an artefact, or all, are rendered from: marks and, with a budget, the records that
        there are already, so that those that are imported are noticed."""
        marks = self.marks(artefact)
        if self.config.hours is None:
            return marks
        records = (
            record_path(self.folder(spec), trial)
            for spec in self._specs(artefact)
            for trial in self._counted
        )
        return marks + [path for path in records if path.exists()]

    def mark(self, spec: TrialSpec | str, trials: range) -> Path:
        """The mark that these trials of a spec are done."""
        return mark_path(self.folder(spec), trials)

    def refresh_marks(self) -> None:
        """Make the marks say what is true; what cannot be read is one line and exit status 2.

        Not while another run is at work, which relies on them, nor in a read-only folder.
        """
        if not self._run_lock.parent.exists():
            return
        with _one_line(), ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self._run_lock))
            except UserError:
                return
            for spec in self.specs.values():
                folder, work = self.folder(spec), self.work_folder(spec)
                data = self.data_digest(spec)
                for part in self.parts:
                    refresh_mark(folder, work, spec, part, data)

    def data_digest(self, spec: TrialSpec) -> str | None:
        """The digest of the prepared data of a spec; None while they are not prepared."""
        return recorded_digest(self.data_folder(spec))

    def _specs(self, artefact: str | None) -> Iterable[TrialSpec]:
        return self.specs.values() if artefact is None else self.specs_of.get(artefact, ())

    def read_records(self, spec: TrialSpec) -> list[dict[str, Any]]:
        """The valid records of a spec on the data that are prepared, by trial."""
        data = self.data_digest(spec)
        found = (
            read_record(record_path(self.folder(spec), trial), spec, trial, data)
            for trial in self._counted
        )
        return [record for record in found if record is not None]

    def of_other_images(self) -> str:
        """A sentence about the records that do not count, because they are of other images than the
        prepared ones; empty where there are none."""
        counts = Counter[str]()
        for spec in self.specs.values():
            if (data := self.data_digest(spec)) is None:
                continue
            found = (
                read_record(record_path(self.folder(spec), trial), spec, trial)
                for trial in self._counted
            )
            counts[spec.dataset] += sum(r is not None and r["data"] != data for r in found)
        texts = [f"{count} of {name}" for name, count in counts.items() if count]
        if not texts:
            return ""
        return (
            f"Records of other images than those in data/ do not count: {', '.join(texts)}. Images "
            "are the same if their prepared arrays have the same SHA-256 digest."
        )

    def failures(self, spec: TrialSpec) -> list[Failure]:
        """The trials of a spec that failed, and why, by trial."""
        data = self.data_digest(spec)
        found = (read_failure(self.folder(spec), spec, trial, data) for trial in self._counted)
        return [failure for failure in found if failure is not None]

    def require_done(self, artefact: str | None = None) -> None:
        """Refuse to take means while a trial of an artefact, or of any, is not done.

        Done is what is recorded or failed.

        Raises:
            UserError: a record has been deleted or damaged since its job ended.
        """
        if self.config.hours is not None:
            return  # what there is, is rendered
        for spec in self._specs(artefact):
            if missing := {*range(self.grid.trials)} - self.done(spec):
                raise UserError(
                    f"{len(missing)} records in {self.folder(spec)} are missing or "
                    "damaged: run the same command again to train these trials"
                )

    def done(self, spec: TrialSpec) -> frozenset[int]:
        """The trials of a spec that need no training: recorded, or failed."""
        recorded = (record["trial"] for record in self.read_records(spec))
        return frozenset(recorded) | {failure.trial for failure in self.failures(spec)}

    @cached_property
    def _differences(self) -> dict[str, str]:
        """What sets each spec apart from the defaults of its method, by hash."""
        grid = self.grid
        return {
            key: spec.difference(grid.spec(spec.method, spec.dataset, spec.backbone))
            for key, spec in self.specs.items()
        }

    def setting(self, spec: TrialSpec, option: str = "") -> str:
        """What sets a spec apart from the defaults of its method, and an option of its probe: the
        frame's `setting`."""
        texts = (self._differences[spec.hash], option)
        return ";".join(sorted(part for text in texts for part in text.split(";") if part))

    def frame(self, artefact: str | None = None) -> pd.DataFrame:
        """The tidy frame of an artefact, or of all artefacts: every valid record there is."""
        rows = [
            row
            for spec in self._specs(artefact)
            for record in self.read_records(spec)
            for row in self._rows(spec, record)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def write_tidy_frame(self) -> None:
        """Write the frame of all records to its file, atomically."""
        write_frame(self.frame(), self.tidy_frame)

    def start(self) -> None:
        """The start of a run: wait until no other run works in the folder of this scale.

        Two at once would delete each other's tables while they are read. The lock goes with the
        process.
        """
        with _one_line():
            self._held.enter_context(exclusive(self._run_lock, wait=True))
            if self.config.hours is not None and self.schedule:
                write_schedule(self.schedule, self.budget_file)

    def finish(self, asked_for: Iterable[Mapping[str, str]]) -> None:
        """The end of a run: gather all records; failed trials are an error.

        Args:
            asked_for: the wildcards of each job behind the run's targets.
        """
        with _one_line():
            self.write_tidy_frame()
            failed = [
                f"{spec}: trial {failure.trial} failed: {failure.reason}; delete {failure.path} "
                "to train it again"
                for key in sorted({job["spec"] for job in asked_for if "spec" in job})
                for spec in (self.specs[key],)
                for failure in self.failures(spec)
            ]
            if failed:
                raise UserError("\nerror: ".join(failed))

    def _rows(self, spec: TrialSpec, record: dict[str, Any]) -> list[dict[str, Any]]:
        keys = {
            "scale": spec.scale,
            "spec": spec.hash,
            "trial": record["trial"],
            "seed": record["seed"],
            "method": spec.method,
            "dataset": spec.dataset,
            "backbone": spec.backbone,
        }
        return [
            {
                **keys,
                **row,
                "readout": readout_of(row["probe"], row["setting"]),
                "setting": self.setting(spec, row["setting"]),
            }
            for row in record["rows"]
        ]


def _hash(spec: TrialSpec | str) -> str:
    return spec if isinstance(spec, str) else spec.hash


def load_plan(values: object, scales: Path | None = None) -> Plan:
    """The plan of a config; what the user got wrong is one line on stderr and exit status 2."""
    with _one_line():
        plan = Plan(*load_config(values, scales), scales)
        _ = plan.specs
    return plan


@contextmanager
def _one_line() -> Iterator[None]:
    """What is wrong becomes one line on stderr and exit status 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
