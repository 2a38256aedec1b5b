"""How fast steps are, by timing them."""

from types import SimpleNamespace

import pytest
import torch

from metaug.suite import speed as speed_module
from metaug.suite.speed import Clock


def test_a_step_that_does_not_fit_on_a_gpu_is_timed_on_a_part_of_its_batch(plan, monkeypatch):
    """The GPU is faked."""
    sizes = []

    def step(method, size, device):
        sizes.append(size)
        if size > 20:
            raise torch.OutOfMemoryError
        return 0.01 * size

    monkeypatch.setattr(speed_module, "_time_step", step)
    monkeypatch.setattr(Clock, "_build", lambda *_: SimpleNamespace(trained=1, passes=1))
    (spec,) = (s for s in plan.specs_of["table1"] if s.method == "simclr")
    speed = Clock(plan, torch.device("cuda")).speed(spec)
    assert sizes == [64, 32, 16, 16]
    assert speed.step_seconds == pytest.approx(0.64)


def test_a_step_is_timed_and_an_untrained_method_takes_none(plan):
    clock = Clock(plan, torch.device("cpu"))
    speeds = {spec.method: clock.speed(spec) for spec in plan.specs_of["table1"]}
    assert speeds["simclr"].step_seconds > 0
    assert speeds["random"].step_seconds == 0
