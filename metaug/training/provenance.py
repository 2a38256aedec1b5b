"""Where a number comes from: commit, versions, machine."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metaug.training.parallel import processes

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "snakemake")
ROOT = Path(__file__).resolve().parents[2]


def conditions(device: torch.device, mixed_precision: bool) -> dict[str, Any]:
    """What changes the numbers of a training besides its spec, its trial and its data.

    A sum over several threads or processes, another device or another PyTorch is rounded in
    another order.
    """
    together = {"processes": processes()} if processes() > 1 else {}
    return {
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "mixed_precision": mixed_precision,
        "torch": version("torch"),
        **together,
    }


def provenance(device: torch.device, mixed_precision: bool = False) -> dict[str, Any]:
    """Commit, versions, machine and `conditions` that a number comes from."""
    found = conditions(device, mixed_precision)
    del found["torch"]  # it is among the packages
    return {
        **_commit(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "platform": f"{sys.platform} {platform.machine()}",
        **found,
        "cores": os.cpu_count(),
    }


@cache
def _commit() -> dict[str, Any]:
    """Git commit of this code and whether tracked files differ from it; None outside a checkout.

    Git looks for a checkout in the folders above, too, and where variables like `GIT_DIR` point:
    neither would be this code's.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() == ROOT:
            changed = git("status", "--porcelain", "--untracked-files=no")
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": None, "dirty": None}
