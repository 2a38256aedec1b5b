"""The record of a trial: all its numbers and where they come from, one JSON file."""

import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metaug.files import atomic_write_text
from metaug.spec import TrialSpec

FORMAT = 1
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "snakemake")


def record_path(folder: Path, trial: int) -> Path:
    """Where the record of a trial lies in its spec's folder."""
    return folder / f"trial_{trial:03d}.json"


def write_record(
    path: Path, spec: TrialSpec, trial: int, data: str, content: dict[str, Any]
) -> None:
    """Write a record atomically; `data` is the digest of the data it was trained on."""
    record = {
        "format": FORMAT,
        "hash": spec.hash,
        "trial": trial,
        "data": data,
        "spec": spec.model_dump(mode="json"),
        **content,
    }
    atomic_write_text(path, json.dumps(record, indent=1) + "\n")


def read_record(
    path: Path, spec: TrialSpec, trial: int, data: str | None = None
) -> dict[str, Any] | None:
    """The record at `path`; None where there is none, or it is damaged, of another trial or, if
    `data` is given, of other data."""
    try:
        record = json.loads(path.read_text())
        known = (record["format"], record["hash"], record["trial"]) == (FORMAT, spec.hash, trial)
        same_data = data is None or record["data"] == data
        return record if known and same_data and record["rows"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def provenance(device: torch.device) -> dict[str, Any]:
    """Commit, versions and machine that a number comes from."""
    return {
        **_commit(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "platform": f"{sys.platform} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


@cache
def _commit() -> dict[str, Any]:
    """Git commit of this code and whether tracked files differ from it; None outside a checkout."""
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
