"""What the job of a training asks of a cluster. Threads are in the config, the time limit, which a
training outlives (`metaug.suite.slurm`), is in the profile.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaug.data.datasets import Dataset
from metaug.evaluation import features, knn
from metaug.spec import TrialSpec
from metaug.suite.slurm import earlier_jobs

REPRESENTATION = {"alexnet": 12_288, "resnet18": 512, "resnet50": 2_048}
"""Numbers in all read-outs of an image, of one full-width RGB network; AlexNet has a third more
from images of 224 pixels."""

BASE_MB = 4_000
"""Python, PyTorch and CUDA's libraries, the network, batches; 1,400 were seen on the CPU at the
scale lite."""


def memory_mb(spec: TrialSpec, dataset: Dataset, processes: int = 1) -> int:
    """A rough upper bound of the main memory of a training by so many processes, in MB.

    What is large is the probe: the representations of all images as float32, and a second copy of
    them while they are standardised. Of both no more than `features.MEMORY_LIMIT` is in memory at a
    time, except those of the test images; the rest lies in files (`files_mb`). A training that is
    killed for its memory asks for more by `--set-resources` (docs/clusters.md).
    """
    each = _representation_bytes(spec)
    whole = each * (dataset.training_images + dataset.test_images)
    streamed = 2 * features.MEMORY_LIMIT + 8 * knn.KEY_NUMBERS + each * dataset.test_images
    return processes * BASE_MB + int(min(_copies(spec) * whole, streamed) / 1e6)


def files_mb(spec: TrialSpec, dataset: Dataset) -> int:
    """A rough upper bound of what a training writes while it runs, in MB: the representations that
    are not kept in memory."""
    images = (_copies(spec) - 1) * dataset.training_images + dataset.test_images
    size = _representation_bytes(spec) * images
    return int(size / 1e6) if size > features.MEMORY_LIMIT else 0


def _copies(spec: TrialSpec) -> int:
    """How often the images' representations are held, the standardised ones included."""
    return 2 + spec.probe.augmented_copies


def _representation_bytes(spec: TrialSpec) -> float:
    """Bytes of all read-outs of an image."""
    networks = len(spec.views) * spec.view_width if len(spec.views) > 1 else 1
    numbers = REPRESENTATION[spec.backbone] * spec.width * networks
    if spec.backbone == "alexnet" and spec.image_size > 100:
        numbers *= 4 / 3
    if spec.hyper.get("augmented_readout") == "layer":
        numbers *= 2
    return 4 * numbers


def waiting_for_earlier_jobs() -> dict[str, Callable[[Any], str]]:
    """A resource by which a training waits in SLURM's queue for those of an earlier run.

    If the main process of a run dies, its jobs stay. The same command takes over: what they have
    finished is found done, and what they are still at is submitted behind them. Says so in one
    line. Empty where there are no such jobs, so that a `slurm_extra` of the profile counts.
    """
    earlier = earlier_jobs(Path.cwd())
    if not earlier:
        return {}
    numbers = ", ".join(sorted({number for jobs in earlier.values() for number in jobs}, key=int))
    print(
        f"SLURM jobs of an earlier run here are not done yet: {numbers}. The same trainings wait "
        "for them and go on from what they leave; `scancel` ends them.",
        file=sys.stderr,
    )

    def dependency(wildcards: Any) -> str:
        jobs = earlier.get(wildcards.spec)
        return f"--dependency=afterany:{':'.join(jobs)}" if jobs else ""

    return {"slurm_extra": dependency}
