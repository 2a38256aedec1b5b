"""The processes that train with the process of a job: one for each further device.

They are not torchrun's: its agent would stand between Snakemake and the training, and signals,
errors of one line and the log would not be those of other jobs. What the processes say to each
other goes through `torch.distributed` in either case (`metaug.training.parallel`).
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, but not by name

from metaug.data.arrays import open_prepared
from metaug.errors import Diverged, UserError
from metaug.spec import TrialSpec
from metaug.training.images import TrainingSet
from metaug.training.loop import train
from metaug.training.runtime import Runtime

HOST = "127.0.0.1"
TIMEOUT = timedelta(hours=1)
"""How long a process waits for the others in one exchange."""

GRACE = 2.0
"""Seconds in which a process whose exchange has failed notices that the other one has ended, before
it complains."""


@contextmanager
def helpers(
    devices: Sequence[torch.device], spec: TrialSpec, data: Path, runtime: Runtime
) -> Iterator[Runtime]:
    """Start a process for each device but the first, and join with them.

    They train what this process trains within the block, and write nothing. They end with it,
    however it ends; if one of them ends before, this process does, too, after one line.

    Args:
        devices: of the processes of one training; the first is this process's.
        spec: what is trained.
        data: folder of the prepared data set.
        runtime: of this process.

    Yields:
        The runtime with which this process is to train.
    """
    if len(devices) == 1:
        yield runtime
        return
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    done = threading.Event()
    children = []
    for rank, device in enumerate(devices[1:], 1):
        child = subprocess.Popen(
            [sys.executable, "-m", "metaug.suite.helpers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        children.append(child)
        threading.Thread(target=_watch, args=(child, done), daemon=True).start()
        place = {"rank": rank, "processes": len(devices), "port": store.port, "device": str(device)}
        settings = {
            "mixed_precision": runtime.mixed_precision,
            "threads": torch.get_num_threads(),
        }
        _tell(child, {"spec": spec.canonical_json(), "data": str(data), **place, **settings})

    def announce(trial: int, folder: Path) -> None:
        for child in children:
            _tell(child, {"trial": trial, "folder": str(folder)})

    try:
        _join(store, 0, len(devices), devices[0])
        yield replace(runtime, announce=announce)
    except RuntimeError:
        time.sleep(GRACE)  # if it came of the end of a helper, `_watch` ends this process meanwhile
        raise
    finally:
        done.set()
        for child in children:
            with suppress(BrokenPipeError):
                child.stdin.close()  # type: ignore[union-attr]  # a pipe, as each was started
        for child in children:
            child.wait()
        if dist.is_initialized():
            dist.destroy_process_group()


def _tell(child: "subprocess.Popen[str]", message: dict[str, Any]) -> None:
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # `_watch` says so
        print(json.dumps(message), file=child.stdin, flush=True)


def _watch(child: "subprocess.Popen[str]", done: threading.Event) -> None:
    status = child.wait()
    if not done.is_set():
        print(
            f"error: a process of this training ended with status {status}, so the training ends; "
            "the same command goes on from its checkpoint",
            flush=True,
        )
        os._exit(1)  # an exchange with a process that is gone may wait for ever


def _join(store: TCPStore, rank: int, count: int, device: torch.device) -> None:
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=count,
        timeout=TIMEOUT,
    )


def _help() -> None:
    """Train what the process that started this one announces, until it ends."""
    task = json.loads(sys.stdin.readline() or "null")
    if task is None:
        return
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    device = torch.device(task["device"])
    torch.set_num_threads(task["threads"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store = TCPStore(HOST, task["port"], is_master=False)
    _join(store, task["rank"], task["processes"], device)
    spec = TrialSpec.model_validate_json(task["spec"])
    prepared = open_prepared(Path(task["data"]))
    runtime = Runtime(device, mixed_precision=task["mixed_precision"], progress=False)
    while True:
        order = orders.get()
        data = TrainingSet.of(prepared.train, spec, order["trial"], len(prepared.class_names))
        with suppress(Diverged):  # so it has for the process that records it
            train(spec, order["trial"], data, Path(order["folder"]), runtime)


def _listen(orders: "queue.Queue[dict[str, Any]]") -> None:
    """Take orders; the process that gives them has ended when there are no more."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """A helper: no signal ends it but the end of the process that it helps."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        _help()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    except Exception:
        time.sleep(GRACE)
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
