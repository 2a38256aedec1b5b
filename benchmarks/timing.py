"""Timing of alternatives side by side, and their peak memory in fresh processes."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch


def interleaved(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """CPU seconds of each step in each round, after one warm-up; the steps take turns."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def print_ratios(what: str, seconds: dict[str, np.ndarray], reference: str) -> None:
    """Print the median of each and how many times faster than the reference it is."""
    print(f"{what}: {reference} {np.median(seconds[reference]) * 1e3:,.1f} ms")
    for name, values in seconds.items():
        if name != reference:
            ratio = seconds[reference] / values
            print(
                f"  {name} {np.median(values) * 1e3:,.1f} ms; {np.median(ratio):.2f} times as fast "
                f"(median of {len(ratio)} rounds, {ratio.min():.2f} to {ratio.max():.2f})",
                flush=True,
            )


def peak_memory(step: Callable[..., object], *arguments: object) -> float:
    """MiB by which the memory of a fresh process peaks above its start in a step. Linux only.

    `step(*arguments)`, with `step` a function of a module, returns what is to be measured, so that
    its inputs are not counted.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return float(pool.apply(_growth, (step, arguments)))


def _growth(step: Callable[..., Callable[[], object]], arguments: tuple[object, ...]) -> float:
    torch.set_num_threads(1)
    measured = step(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again (Linux)
    before = _status("VmRSS")
    measured()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """A field of /proc/self/status, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
