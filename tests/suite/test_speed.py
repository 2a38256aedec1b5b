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


@pytest.mark.parametrize("method", ["simclr", "metaug"])
def test_a_wider_network_and_larger_images_take_as_much_longer_as_the_reference(
    plan, monkeypatch, method
):
    """A step is taken to cost its pixels, channels and images; the reference, SimCLR, is no wider
    in this plan."""

    def build(clock, spec):
        return SimpleNamespace(trained=True, passes=1, spec=spec)

    def step(method, size, device):
        return size * method.spec.width * method.spec.image_size**2

    monkeypatch.setattr(Clock, "_build", build)
    monkeypatch.setattr(speed_module, "_time_step", step)
    spec = plan.grid.spec(method, "digits_m")
    large = spec.model_copy(update={"width": 4 * spec.width, "image_size": 3 * spec.image_size})
    clock = Clock(plan, torch.device("cpu"))
    ratio = clock.speed(large).step_seconds / clock.speed(spec).step_seconds
    assert ratio == pytest.approx(4 * 3**2)


def test_a_reference_that_the_user_does_not_train_is_timed_all_the_same(plan, monkeypatch):
    grid = plan.grid

    def untrained(*given):
        return grid.spec(*given).model_copy(update={"epochs": 0})

    monkeypatch.setattr(plan, "grid", SimpleNamespace(known=grid.known, spec=untrained))
    spec = grid.spec("cmc", "digits_m")
    assert Clock(plan, torch.device("cpu")).speed(spec).step_seconds > 0
