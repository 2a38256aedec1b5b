"""The device of a training: a GPU that has a place for it, or the CPU."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from metaug.errors import UserError
from metaug.suite.places import lock_folder, place_on_gpu
from metaug.training.runtime import choose_device

GIVEN_BY_SLURM = ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS")
"""Variables of which a SLURM job with GPUs has at least one."""


def visible_gpus() -> list[str]:
    """The UUID of every GPU that this process may use, in PyTorch's order.

    `CUDA_VISIBLE_DEVICES` decides. In a SLURM job that was given no GPU there are none: where SLURM
    does not shut off the GPUs of a node, it would see those of other jobs.
    """
    if "SLURM_JOB_ID" in os.environ and not any(name in os.environ for name in GIVEN_BY_SLURM):
        return []
    if not torch.cuda.is_available():
        return []
    return [
        str(torch.cuda.get_device_properties(index).uuid)
        for index in range(torch.cuda.device_count())
    ]


def wants_gpu(device: str) -> bool:
    """Whether trainings with this `device` of the config run on GPUs: `auto` asks this machine."""
    return device.startswith("cuda") or (device == "auto" and bool(visible_gpus()))


@contextmanager
def training_device(name: str, jobs_per_gpu: int) -> Iterator[torch.device]:
    """Yield the device of one training; a place on a GPU is its own until the block ends.

    Args:
        name: `auto`, `cpu`, `cuda` (any GPU) or `cuda:N` (that one).
        jobs_per_gpu: trainings at a time on one GPU.

    Raises:
        UserError: there is no such device here.
    """
    if not wants_gpu(name):
        yield choose_device("cpu" if name == "auto" else name)
        return
    gpus = visible_gpus()
    if not gpus:
        raise UserError(f"device {name!r} is not available here; try device=auto")
    # not `choose_device("cuda")`: each process would take some memory of the first GPU
    allowed = range(len(gpus)) if name in ("auto", "cuda") else [choose_device(name).index]
    with place_on_gpu(gpus, allowed, jobs_per_gpu, lock_folder()) as index:
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
        print(f"training on {device} (GPU {gpus[index]})", flush=True)
        yield device


@contextmanager
def training_devices(name: str, jobs_per_gpu: int, processes: int) -> Iterator[list[torch.device]]:
    """Yield the device of each process of one training: a GPU each, or the CPU.

    The GPUs are consecutive ones, and locked in one order everywhere: no two trainings can wait for
    each other.

    Args:
        name: `auto`, `cpu` or `cuda`; for one process `cuda:N`, too.
        jobs_per_gpu: trainings at a time on one GPU.
        processes: of the training.

    Raises:
        UserError: there is no such device here, or there are not as many GPUs.
    """
    if processes == 1 or not wants_gpu(name):
        with training_device(name, jobs_per_gpu) as device:
            yield [device] * processes
        return
    gpus = visible_gpus()
    if name.startswith("cuda:") or len(gpus) < processes:
        raise UserError(
            f"processes_per_job = {processes} needs as many GPUs: there are {len(gpus)}, and "
            f"device={name}; lower it, or set device=cuda"
        )
    groups = [
        sorted(range(first, first + processes), key=gpus.__getitem__)
        for first in range(0, len(gpus) - processes + 1, processes)
    ]
    with ExitStack() as held:

        def take(*allowed: int) -> int:
            place = place_on_gpu(gpus, allowed, jobs_per_gpu, lock_folder())
            return held.enter_context(place)

        first = take(*(group[0] for group in groups))
        (group,) = (group for group in groups if group[0] == first)
        indices = [first, *(take(index) for index in group[1:])]
        devices = [torch.device("cuda", index) for index in indices]
        torch.cuda.set_device(devices[0])
        print(f"training on {', '.join(map(str, devices))}", flush=True)
        yield devices
