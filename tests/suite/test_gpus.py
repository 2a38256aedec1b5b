"""A training gets its device from the config; the GPUs here are faked."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from metaug.errors import UserError
from metaug.suite import gpus
from metaug.suite.gpus import training_device, training_devices, visible_gpus, wants_gpu


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[torch.device]:
    """A torch that knows of two GPUs; the devices that were made the current one."""
    current: list[torch.device] = []
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    properties = [SimpleNamespace(uuid="a"), SimpleNamespace(uuid="b")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties[index])
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(gpus, "choose_device", torch.device)
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    return current


def test_auto_and_cuda_take_any_gpu_and_a_number_takes_that_one(
    two_gpus: list[torch.device],
) -> None:
    with training_device("cuda:1", 1) as one, training_device("auto", 1) as other:
        assert (one, other) == (torch.device("cuda:1"), torch.device("cuda:0"))
    with training_device("cuda", 1) as any_gpu, training_device("cpu", 1) as cpu:
        assert (any_gpu, cpu) == (torch.device("cuda:0"), torch.device("cpu"))
    assert two_gpus == [torch.device("cuda:1"), torch.device("cuda:0"), torch.device("cuda:0")]


@pytest.mark.usefixtures("two_gpus")
def test_a_slurm_job_sees_only_gpus_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for name in gpus.GIVEN_BY_SLURM:
        monkeypatch.delenv(name, raising=False)
    assert visible_gpus() == []
    with training_device("auto", 1) as device:
        assert device == torch.device("cpu")
    with (
        pytest.raises(UserError, match="device 'cuda' is not available"),
        training_device("cuda", 1),
    ):
        pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert visible_gpus() == ["a", "b"]


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_is_asked_for_where_the_device_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {name: wants_gpu(name) for name in ("auto", "cuda", "cuda:1", "cpu")}
    assert wanted == {"auto": True, "cuda": True, "cuda:1": True, "cpu": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not wants_gpu("auto")


def test_the_processes_of_a_training_get_a_gpu_each(two_gpus: list[torch.device]) -> None:
    with training_devices("auto", 1, 2) as both:
        assert both == [torch.device("cuda:0"), torch.device("cuda:1")]
        with training_devices("cpu", 1, 2) as cpu:
            assert cpu == [torch.device("cpu")] * 2
    with training_devices("cuda:1", 1, 1) as one:  # they are free again
        assert one == [torch.device("cuda:1")]
    assert two_gpus[0] == torch.device("cuda:0")


@pytest.mark.usefixtures("two_gpus")
def test_trainings_of_several_processes_do_not_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four GPUs, two trainings: the second gets the other half."""
    properties = [SimpleNamespace(uuid=name) for name in "dcba"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties[index])
    with training_devices("cuda", 1, 2) as first, training_devices("cuda", 1, 2) as second:
        # locked in the order of their UUIDs
        assert [device.index for device in first + second] == [1, 0, 3, 2]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("name", "processes"), [("cuda", 3), ("cuda:0", 2)])
def test_fewer_gpus_than_processes_are_refused(name: str, processes: int) -> None:
    with (
        pytest.raises(UserError, match=f"processes_per_job = {processes} needs as many GPUs"),
        training_devices(name, 1, processes),
    ):
        pass
