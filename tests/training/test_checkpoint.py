import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from metaug.errors import UserError
from metaug.training.checkpoint import DamagedCheckpoint, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "checkpoint.safetensors"


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def round_trip(state, path):
    save_checkpoint(path, state)
    return load_checkpoint(path, CPU)


VALUES = {
    "numbers": [0, -3, 2**62, 0.1, 1e-300, -0.0],
    "others": [None, True, False, "", "ü/.\n"],
    "nested": {"a": [{"b": [[]]}], "c": {}},
    "tuple": ((1, (2.5, None)), [()]),
    "integer keys": {0: {"step": 1}, 10: {}},
    "other keys": {None: 1, True: 2, (1, "a"): 3, 2.5: 4},
    "keys that look like marks": {"tensor": "x", "dict": [[1, 2]], "tuple": []},
}


@pytest.mark.parametrize("name", VALUES)
def test_values_survive_a_round_trip(path, name):
    assert same(round_trip(VALUES, path)[name], VALUES[name])


def test_floats_survive_exactly(path):
    floats = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    floats = (floats * 10 ** torch.linspace(-300, 300, 1000, dtype=torch.float64)).tolist()
    assert round_trip({"x": floats}, path)["x"] == floats


TENSORS = {
    "float32": torch.rand(3, 4, generator=torch.Generator().manual_seed(0)),
    "float64": torch.rand(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "bfloat16": torch.tensor([1.5, -2]).bfloat16(),
    "int64": torch.tensor([2**62, -1]),
    "uint8": torch.arange(256, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(3.5),
    "empty": torch.empty(0, 3),
    "not finite": torch.tensor([float("inf"), float("-inf")]),
    "channels last": torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(
        memory_format=torch.channels_last
    ),
    "transposed": torch.arange(6.0).view(2, 3).T,
    "expanded": torch.ones(1, 3).expand(4, 3),
    "slice": torch.arange(10.0)[2:5],
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_survive_a_round_trip(path, name):
    loaded = round_trip({"x": [{0: TENSORS[name]}]}, path)["x"][0][0]
    assert same(TENSORS[name].detach(), loaded)
    assert loaded.is_contiguous()
    assert not loaded.requires_grad


def test_shared_tensors_become_copies(path):
    x = torch.arange(3.0)
    loaded = round_trip({"a": x, "b": x, "c": x.view(3, 1)}, path)
    assert same(loaded, {"a": x, "b": x, "c": x.view(3, 1)})
    assert loaded["a"].data_ptr() != loaded["b"].data_ptr()


def test_keys_that_read_alike_are_kept_apart(path):
    state = {
        "a/b": torch.zeros(1),
        "a": {"b": torch.ones(1), 1: torch.full((1,), 2.0), "1": torch.full((1,), 3.0)},
    }
    assert same(round_trip(state, path), state)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_an_optimiser_continues_as_if_it_had_not_been_saved(path, kind):
    def start():
        weight = torch.nn.Parameter(
            torch.linspace(-1, 1, 24).view(2, 3, 2, 2).to(memory_format=torch.channels_last)
        )
        if kind == "adam":
            return weight, torch.optim.Adam([weight], 0.1, betas=(0.8, 0.9), weight_decay=0.01)
        return weight, torch.optim.SGD([weight], 0.1, momentum=0.9, weight_decay=0.01)

    def step(weight, optimizer):
        (weight.square() * torch.arange(24.0).view(2, 3, 2, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    weight, optimizer = start()
    step(weight, optimizer)
    state = round_trip({"w": weight, "o": optimizer.state_dict()}, path)
    other, fresh = start()
    with torch.no_grad():
        other.copy_(state["w"])
    fresh.load_state_dict(state["o"])
    for _ in range(3):
        step(weight, optimizer)
        step(other, fresh)
    assert torch.equal(weight, other)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_refused(path, share):
    save_checkpoint(path, {"x": torch.zeros(1000), "y": [1, 2]})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, CPU)


def test_a_flipped_bit_anywhere_is_noticed(path):
    """Or it changes nothing: a space of the header may become another kind of space."""
    state = {"x": torch.arange(40.0), "y": [1, 2], "z": {"w": torch.ones(3).bfloat16()}}
    save_checkpoint(path, state)
    data = path.read_bytes()
    refused = 0
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert same(load_checkpoint(path, CPU), state)
        except DamagedCheckpoint:
            refused += 1
    assert refused > 0.98 * len(data)


def test_what_is_no_checkpoint_is_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"something else entirely, long enough to have a header")
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, CPU)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, CPU)
    save_file({"x": torch.zeros(1)}, path, {"state": '{"a": 1, "b": 2}'})
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, CPU)


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_older_checkpoint(path, monkeypatch, where):
    save_checkpoint(path, {"step": 1, "x": torch.zeros(3)})
    target, name = {
        "write": (Path, "write_bytes"),
        "fsync": (os, "fsync"),
        "rename": (Path, "replace"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, no_space)
        with pytest.raises(UserError, match="No space left on device") as error:
            save_checkpoint(path, {"step": 2, "x": torch.ones(3)})
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert load_checkpoint(path, CPU)["step"] == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_newer_checkpoint_replaces_the_older_one(path):
    save_checkpoint(path, {"step": 1})
    save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path, CPU) == {"step": 2}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
