"""A training gets its device from the config; the GPUs here are faked."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from metaug.errors import UserError
from metaug.suite import gpus
from metaug.suite.gpus import training_device, visible_gpus, wants_gpu


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
