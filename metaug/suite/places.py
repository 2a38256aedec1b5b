"""Places on GPUs: locks that keep trainings apart, whoever starts them."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 2.0
"""How often a training that waits for a GPU looks again."""


def lock_folder() -> Path:
    """The folder of this user's locks on this machine: all runs of all checkouts share it."""
    return Path(tempfile.gettempdir()) / f"metaug-gpus-{os.getuid()}"


@contextmanager
def place_on_gpu(
    gpus: Sequence[str], allowed: Sequence[int], jobs_per_gpu: int, folder: Path
) -> Iterator[int]:
    """Yield the index of a GPU and hold a place on it.

    Each GPU has `jobs_per_gpu` places, each a lock that is freed when its process ends, however it
    ends. An empty GPU is taken before a second place on another one. While there is no free place
    it waits, after one line that says so.

    Args:
        gpus: names of all GPUs. Their UUIDs: the number of a GPU depends on `CUDA_VISIBLE_DEVICES`.
        allowed: indices of those that may be taken.
        jobs_per_gpu: places on each.
        folder: where the locks are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index, lock = _free_place(gpus, allowed, jobs_per_gpu, folder)
    try:
        yield index
    finally:
        lock.release()


def _free_place(
    gpus: Sequence[str], allowed: Sequence[int], jobs_per_gpu: int, folder: Path
) -> tuple[int, FileLock]:
    said = False
    while True:
        for place in range(jobs_per_gpu):
            for index in allowed:
                lock = FileLock(folder / f"{gpus[index]}.{place}.lock")
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                    return index, lock
        if not said:
            print(
                f"waiting for a GPU: {len(allowed)} x {jobs_per_gpu} trainings are running",
                flush=True,
            )
            said = True
        time.sleep(POLL_SECONDS)
