"""The plan: which artefacts there are, which trials each needs, and where everything lies."""

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

import metaug.paper
from metaug.config import Config, Grid, Scale, load_config
from metaug.errors import UserError
from metaug.record import read_record, record_path
from metaug.reporting.aggregate import COLUMNS
from metaug.spec import TrialSpec


class Plan:
    """Everything the Snakefile asks for: artefacts, specs and paths of one config."""

    def __init__(self, config: Config, scale: Scale) -> None:
        self.config = config
        self.scale = scale
        self.grid = Grid(scale, config)

    @cached_property
    def artefacts(self) -> dict[str, ModuleType]:
        """The modules of `metaug.paper` that need trials, by name (table1, figure2, ...)."""
        modules = (
            importlib.import_module(f"metaug.paper.{info.name}")
            for info in pkgutil.iter_modules(metaug.paper.__path__)
        )
        return {m.__name__.rpartition(".")[2]: m for m in modules if hasattr(m, "trials")}

    @cached_property
    def specs_of(self) -> dict[str, tuple[TrialSpec, ...]]:
        """The distinct specs that each artefact needs."""
        return {
            name: tuple(dict.fromkeys(module.trials(self.grid)))
            for name, module in self.artefacts.items()
        }

    @cached_property
    def specs(self) -> dict[str, TrialSpec]:
        """Every distinct spec by its hash: equal specs of different artefacts are one."""
        return {spec.hash: spec for specs in self.specs_of.values() for spec in specs}

    @property
    def tables(self) -> list[str]:
        return [name for name in self.artefacts if name.startswith("table")]

    @property
    def figures(self) -> list[str]:
        return [name for name in self.artefacts if name.startswith("figure")]

    @property
    def parts(self) -> list[range]:
        """The trials of each job of a spec."""
        trials, size = self.grid.trials, self.config.trials_per_job or self.grid.trials
        return [range(start, min(start + size, trials)) for start in range(0, trials, size)]

    def folder(self, spec: TrialSpec | str) -> Path:
        """Folder of a spec's records."""
        return Path("results") / self.scale.name / "trials" / _hash(spec)

    def work_folder(self, spec: TrialSpec | str) -> Path:
        """Folder of a spec's checkpoints and finished trials while its job runs."""
        return Path("results") / self.scale.name / "work" / _hash(spec)

    def data_folder(self, spec: TrialSpec | str) -> Path:
        """Folder of the prepared data set of a spec."""
        spec = self.specs[spec] if isinstance(spec, str) else spec
        return Path("data") / f"{spec.dataset}-{spec.image_size}"

    def records(self, artefact: str) -> list[Path]:
        """The records that an artefact is made from."""
        return [
            record_path(self.folder(spec), trial)
            for spec in self.specs_of[artefact]
            for trial in range(self.grid.trials)
        ]

    def setting(self, spec: TrialSpec) -> str:
        """What sets a spec apart from the defaults of its method: the frame's `setting`."""
        base = self.grid.spec(spec.method, spec.dataset, spec.backbone)
        return spec.difference(base)

    def frame(self, artefact: str | None = None) -> pd.DataFrame:
        """The tidy frame of an artefact, or of all artefacts: every valid record there is."""
        specs = self.specs.values() if artefact is None else self.specs_of[artefact]
        rows = [
            row
            for spec in specs
            for trial in range(self.grid.trials)
            for row in self._rows(spec, trial)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _rows(self, spec: TrialSpec, trial: int) -> list[dict[str, Any]]:
        record = read_record(record_path(self.folder(spec), trial), spec, trial)
        if record is None:
            return []
        setting = self.setting(spec)
        keys = {
            "scale": spec.scale,
            "spec": spec.hash,
            "trial": trial,
            "seed": record["seed"],
            "method": spec.method,
            "dataset": spec.dataset,
            "backbone": spec.backbone,
        }
        return [
            {**keys, **row, "setting": _joined(setting, str(row["setting"]))}
            for row in record["rows"]
        ]


def _hash(spec: TrialSpec | str) -> str:
    return spec if isinstance(spec, str) else spec.hash


def _joined(*settings: str) -> str:
    """Settings as one, keys sorted."""
    return ";".join(sorted(part for s in settings for part in s.split(";") if part))


def load_plan(values: Mapping[str, Any], scales: Path = Path("config/scales")) -> Plan:
    """The plan of a config; what the user got wrong is one line on stderr and exit status 2."""
    try:
        plan = Plan(*load_config(values, scales))
        _ = plan.specs
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return plan
