"""What there is to work with: software, devices, disk and data; and what can be run with it."""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from metaug import __version__
from metaug.config import DATA_ROOT_VARIABLE, Config, Scale
from metaug.data.arrays import MANIFEST, open_prepared
from metaug.data.datasets import DATASETS, Dataset
from metaug.data.origin import shown
from metaug.data.sources import NotFound, locate
from metaug.errors import UserError
from metaug.grid import user_datasets
from metaug.reporting.names import counted
from metaug.suite.gpus import visible_gpus
from metaug.suite.summary import settings_of, typed

PROJECT = "metaug-reproduction"
LEAST_PYTHON = (3, 11)
LEAST_DISK = 2e9
"""Bytes that a run should find free: records are small, prepared data and checkpoints are not."""

Status = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: software, devices, disk or data.
        name: what it is.
        status: `ok`; `missing`, which is no problem in itself; `problem`, which has to be mended.
        text: what was found, or what to do.
    """

    part: str
    name: str
    status: Status
    text: str


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything, one thing at a time: a large data set takes its time. No image is read,
    and nothing is downloaded or written."""
    yield from software()
    yield from devices(config)
    yield disk()
    root = config.resolved_data_root()
    for dataset in DATASETS.values():
        yield data_set(dataset, root, config.sources)
    for dataset in user_datasets(config).values():
        where = f"{shown(Path(root or '.') / dataset.name)}, your own"
        counts = dataset.training_images, dataset.test_images, dataset.classes
        yield Finding("data", dataset.name, "ok", _images(*counts, where))


def software() -> Iterator[Finding]:
    """Python, PyTorch, and the packages of the suite and its extras."""
    python = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        yield Finding("software", "python", "problem", f"{python} is older than {least}")
    else:
        yield Finding("software", "python", "ok", python)
    yield Finding("software", PROJECT, "ok", f"{__version__} in {Path(__file__).parents[2]}")
    try:
        required = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    except metadata.PackageNotFoundError:
        yield Finding("software", PROJECT, "problem", _install("suite"))
        return
    for extra, optional in (("suite", False), ("slurm", True)):
        wanted = [r for r in required if r.name != PROJECT and _is_of(r, extra)]
        wrong = [f"{r.name} {problem}" for r in wanted if (problem := _problem(r))]
        if wrong:
            status: Status = "missing" if optional else "problem"
            text = f"{', '.join(wrong)}; {_install(extra)}"
            yield Finding("software", extra, status, text)
        else:
            versions = (f"{r.name} {metadata.version(r.name)}" for r in wanted)
            yield Finding("software", extra, "ok", ", ".join(versions))


def _is_of(requirement: Requirement, extra: str) -> bool:
    """Whether it is this extra that asks for a package."""
    marker = requirement.marker
    if marker is None:  # the library asks for it
        return extra == "suite"
    return marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _problem(requirement: Requirement) -> str:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{version} is not {requirement.specifier}"


def _install(extra: str) -> str:
    return f"pip install -e '.[{extra}]' in the folder of the project"


def devices(config: Config) -> Iterator[Finding]:
    """Cores, memory and GPUs, and what a training takes of them."""
    cores, threads = len(os.sched_getaffinity(0)), config.threads_per_job
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    text = (
        f"{counted(cores, 'core')}, {memory:.0f} GB of memory; a training takes "
        f"{counted(threads, 'thread')} (threads_per_job)"
    )
    yield Finding("devices", "cpu", "ok" if threads <= cores else "problem", text)
    gpus = [torch.cuda.get_device_name(index) for index in range(len(visible_gpus()))]
    if gpus:
        yield Finding("devices", "gpu", "ok", ", ".join(gpus))
    elif config.device.startswith("cuda"):
        text = f"device={config.device} is not available here; try device=auto"
        yield Finding("devices", "gpu", "problem", text)
    else:
        yield Finding("devices", "gpu", "missing", "trainings run on the CPU")


def disk() -> Finding:
    """The free space of the working directory, where everything is written."""
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.1f} GB free in {shown(Path.cwd())}"
    return Finding("disk", "disk", "ok" if free >= LEAST_DISK else "problem", text)


def data_set(dataset: Dataset, root: Path | None, sources: Sequence[str]) -> Finding:
    """Where a data set is and how many images it has; or what is wrong, and where to get it."""
    if not dataset.folders:
        return Finding("data", dataset.name, "ok", dataset.obtain)
    prepared = sorted(path.parent for path in Path("data").glob(f"{dataset.name}-*/{MANIFEST}"))
    try:
        if root is None and prepared:
            arrays = open_prepared(prepared[0])
            counts = len(arrays.train.labels), len(arrays.test.labels), len(arrays.class_names)
            text = _images(*counts, f"prepared in {prepared[0]}")
            return Finding("data", dataset.name, "ok", text)
        located = locate(dataset, root, sources, Path("data"))
        if located.downloads:
            here = [source for source in sources if source != "torchvision"]
            if not here or root is None:
                return _missing(dataset, root)
            locate(dataset, root, here, Path("data"))  # says what is missing here
        raw = located.load()
    except NotFound as reason:
        return _missing(dataset, root, reason.tried)
    except UserError as error:
        return Finding("data", dataset.name, "problem", str(error))
    counts = len(raw.train.labels), len(raw.test.labels), len(raw.class_names)
    skipped = f"; skipped: {raw.skipped}" if raw.skipped.counts else ""
    return Finding("data", dataset.name, "ok", _images(*counts, f"{raw.origin}{skipped}"))


def _images(training: int, test: int, classes: int, where: str) -> str:
    return f"{training:,} training and {test:,} test images of {classes} classes: {where}"


def _missing(dataset: Dataset, root: Path | None, tried: str = "") -> Finding:
    place = Path(root or "data_root") / dataset.folders[0]
    why = f" ({tried})" if tried and place.exists() else ""
    text = f"not in {shown(place)}{why}; get it: {dataset.obtain}"
    return Finding("data", dataset.name, "missing", text)


def data_sets_there(config: Config, scale: Scale, findings: Iterable[Finding]) -> list[str]:
    """The data sets of a scale that can be worked with, out of those that the config wants."""
    there = {f.name for f in findings if f.part == "data" and f.status == "ok"}
    return [name for name in config.datasets or scale.datasets if name in there]


def problems(config: Config, scale: Scale, findings: Sequence[Finding]) -> list[str]:
    """What keeps a scale from being run, one line each: nothing if there is nothing to mend.

    A data set that is not there is a problem if the config names it, or if there is none at all.
    """
    data = {f.name: f for f in findings if f.part == "data"}
    wanted = [data[name] for name in config.datasets or scale.datasets]
    nothing = not data_sets_there(config, scale, findings)
    found = [f for f in findings if f.part != "data" and f.status == "problem"]
    found += [
        f
        for f in wanted
        if f.status == "problem" or (f.status == "missing" and (nothing or config.datasets))
    ]
    return [f"{f.name}: {f.text}" for f in found]


def command(config: Config, scale: Scale, findings: Iterable[Finding]) -> str | None:
    """The command that makes Table 1 of the data sets of a scale that are there, if any is."""
    there = data_sets_there(config, scale, findings)
    if not there:
        return None
    changes: dict[str, Any] = {"scale": scale.name}
    if there != list(scale.datasets):
        changes["datasets"] = there
    return typed(f"snakemake --cores all table1{settings_of(config, **changes)}")


def print_diagnosis(config: Config, scales: Sequence[Scale], console: Console) -> bool:
    """Print what `examine` finds while it does, then what can be run and what has to be mended.

    Args:
        config: the user's.
        scales: what may be run; the first is the one that problems are named of.
        console: where to print.

    Returns:
        Whether the first scale can be run.
    """
    findings: list[Finding] = []
    for finding in examine(config):
        if not findings or finding.part != findings[-1].part:
            console.print(f"\n{_HEADINGS[finding.part]}", style="bold", highlight=False)
            if finding.part == "data":
                console.print(f"  {_data_root(config)}", highlight=False)
        findings.append(finding)
        mark, style = _MARKS[finding.status]
        line = Text.assemble("  ", (mark, style), f" {finding.name}: {finding.text}")
        console.print(line, soft_wrap=not console.is_terminal)
    console.print("\nWhat can be run", style="bold")
    for scale in scales:
        there, typed_in = (f(config, scale, findings) for f in (data_sets_there, command))
        console.print(f"  {scale.name}: {', '.join(there or ()) or 'no data set found'}")
        if typed_in:
            console.print(Text(f"    {typed_in}", "cyan"), soft_wrap=True)
    wrong = problems(config, scales[0], findings)
    for problem in wrong:
        console.print(Text(f"error: {problem}", "red"), soft_wrap=True)
    return not wrong


def diagnosis_as_json(config: Config, scale: Scale, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same of one scale, for scripts."""
    wrong = problems(config, scale, findings)
    return {
        "scale": scale.name,
        "ok": not wrong,
        "problems": wrong,
        "datasets": data_sets_there(config, scale, findings),
        "command": command(config, scale, findings),
        "findings": [asdict(finding) for finding in findings],
    }


_HEADINGS = {"software": "Software", "devices": "Devices", "disk": "Disk", "data": "Data sets"}
_MARKS = {"ok": ("✓", "green"), "missing": ("·", "dim"), "problem": ("✗", "red")}


def _data_root(config: Config) -> str:
    root = config.resolved_data_root()
    if root is None:
        return (
            f"data_root is not set; set it in config/config.yaml, {DATA_ROOT_VARIABLE} or --config"
        )
    return f"data_root is {shown(root)}" + ("" if config.data_root else f" ({DATA_ROOT_VARIABLE})")
