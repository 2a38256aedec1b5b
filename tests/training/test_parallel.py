"""Two processes with half a batch each train as one process with the whole batch."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from metaug.errors import UserError
from metaug.method import Batch, DataShape, build_method, registered_methods
from metaug.optimizers import trained_by
from metaug.seeds import draws_of
from metaug.training import parallel
from metaug.training.checkpoint import CHECKPOINT, load_checkpoint
from metaug.training.curve import CURVE
from metaug.training.loop import train
from tests.conftest import Recorder

METHODS = registered_methods()
ABLE = [name for name, kind in METHODS.items() if kind.data_parallel]
STRONG = {"delta": 0.5, "alpha": 0.3}
"""Weights of MetAug's terms, so large that each of them counts."""
CASES: dict[str, tuple[str, dict[str, Any], int]] = {name: (name, {}, 0) for name in ABLE} | {
    f"{name};pass=1": (name, {}, 1) for name in ABLE if METHODS[name].passes == 2
}
CASES |= {
    "metaug;pass=1": ("metaug", {}, 1),
    "metaug;simultaneous": ("metaug", {"update_order": "simultaneous"}, 0),
    "metaug;released": ("metaug", {"variant": "released"}, 0),
    "metaug_mag;pass=1": ("metaug_mag", {}, 1),
    "simclr;resnet18": ("simclr", {"backbone": "resnet18"}, 0),
}
IMAGES, BATCH = 48, 16


def in_processes(count: int, function: Callable[[], Any], folder: Path) -> list[Any]:
    """What `function` returns in each of `count` processes that have joined."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def run(rank: int) -> None:
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=count)
        torch.save(function(), folder / f"{rank}.pt")
        dist.destroy_process_group()

    mp.start_processes(run, nprocs=count, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


def steps(make_spec: Any, case: str) -> dict[str, Any]:
    """Two steps in float64: what is logged, gradients, and the state in the end."""
    name, changes, pass_index = CASES[case]
    fields = METHODS[name].Hyper.model_fields
    settings = {key: value for key, value in STRONG.items() if key in fields} | changes
    if "queue_size" in fields:
        settings["queue_size"] = 2 * BATCH
    spec = make_spec(name, batch_size=BATCH, **settings)
    method = build_method(spec, DataShape(IMAGES, 4), trial=0).double().train()
    method.optimizers = {
        key: Recorder(trained_by(optimizer), 0.05)
        for key, optimizer in method.build_optimizers().items()
    }
    pixels = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=pixels)
    logs: list[dict[str, float]] = []
    with parallel.together(method):
        for step in range(2):
            draws = draws_of(0, step)
            rows = torch.randperm(IMAGES, generator=draws("rows"))[:BATCH]
            index, parts = method.part
            crops = method.augment(images[rows.chunk(parts)[index]], draws)
            crops = tuple(crop.double() for crop in crops)
            batch = Batch(crops, rows, rows % 4, 0, pass_index, step, 0.25, draws)
            # heads take float32, but to float32's precision too much would pass
            with patch.object(torch.Tensor, "float", torch.Tensor.double):
                logs.append({key: float(value) for key, value in method.update(batch).items()})
    gradients = {
        f"{key} {number}": gradient
        for key, optimizer in method.optimizers.items()
        for number, gradient in enumerate(getattr(optimizer, "gradient", ()))
    }
    return {"logs": logs, "gradients": gradients, "state": dict(method.state_dict())}


@pytest.fixture(scope="module")
def by_two(make_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every case, by two processes."""
    folder = tmp_path_factory.mktemp("two")
    return in_processes(2, lambda: {case: steps(make_spec, case) for case in CASES}, folder)


@pytest.mark.parametrize("case", CASES)
def test_loss_gradient_and_state_are_those_of_one_process(
    by_two: list[dict[str, Any]], make_spec: Any, case: str
) -> None:
    """Banks, queues and running statistics are part of the state."""
    one, (two, other) = steps(make_spec, case), (each[case] for each in by_two)
    assert two["logs"] == other["logs"]
    for kind in ("gradients", "state"):
        assert all(torch.equal(two[kind][key], other[kind][key]) for key in one[kind])
    for ours, theirs in zip(two["logs"], one["logs"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-10)
    assert any(gradient.abs().max() > 1e-3 for gradient in one["gradients"].values())
    for kind in ("gradients", "state"):
        torch.testing.assert_close(two[kind], one[kind], rtol=1e-7, atol=1e-9)


def test_the_methods_of_the_large_trainings_support_it() -> None:
    assert {"simclr", "nnclr", "cmc", "metaug", "metaug_nnclr"} <= {*ABLE}


def test_every_other_method_refuses_in_one_line(make_spec: Any) -> None:
    others = {name for name, kind in METHODS.items() if kind.trained} - {*ABLE}
    assert "moco" in others
    for name in others:
        parallel.check_processes(make_spec(name), 1)
        with pytest.raises(UserError, match=f"^{name} cannot be trained by 2 processes: set") as e:
            parallel.check_processes(make_spec(name), 2)
        assert "\n" not in str(e.value)
    parallel.check_processes(make_spec("random"), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 9}, "a batch of 9 does not split into 2 equal parts"),
        ({"augmentation": "crop+mixup"}, "mixup mixes images of the whole batch"),
    ],
)
def test_a_batch_that_has_no_such_parts_is_refused(
    make_spec: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        parallel.check_processes(make_spec("simclr", **changes), 2)


def test_a_training_by_two_is_that_of_one_but_for_rounding_and_resumes_to_the_bit(
    make_spec: Any, training_set: Any, quiet_runtime: Any, tmp_path: Path
) -> None:
    """A bank, two passes, float32; the checkpoint is written by one process, read by both."""
    spec = make_spec("metaug", optimizer="adam", learning_rate=1e-4, batch_size=12)
    (tmp_path / "two").mkdir()

    def whole_and_resumed() -> dict[str, Any]:
        folders = {name: tmp_path / f"{name}{dist.get_rank()}" for name in ("whole", "resumed")}
        for folder in folders.values():
            folder.mkdir()
        whole, curve = train(spec, 0, training_set, folders["whole"], quiet_runtime)
        files = sorted(path.name for path in folders["whole"].iterdir())
        dist.barrier()
        # a checkpoint of the middle, as if the training had been killed there
        with (
            patch("metaug.training.loop.agreed", lambda answer, device: steps_seen() == 4),
            patch.object(METHODS["metaug"], "update", counted),
        ):
            seen.clear()
            train(spec, 0, training_set, tmp_path / "resumed0", quiet_runtime)
        dist.barrier()
        middle = load_checkpoint(tmp_path / "resumed0" / CHECKPOINT, torch.device("cpu"))["step"]
        resumed, again = train(spec, 0, training_set, tmp_path / "resumed0", quiet_runtime)
        return {
            "curve": curve,
            "files": files,
            "middle": middle,
            "same": again == curve
            and all(
                torch.equal(a, b)
                for a, b in zip(
                    whole.state_dict().values(), resumed.state_dict().values(), strict=True
                )
            ),
        }

    seen: list[int] = []
    original = METHODS["metaug"].update

    def counted(method: Any, batch: Batch) -> Any:
        seen.append(batch.step)
        return original(method, batch)

    def steps_seen() -> int:
        return len(seen)

    lead, other = in_processes(2, whole_and_resumed, tmp_path / "two")
    assert (lead["files"], other["files"]) == ([CHECKPOINT, CURVE], [])
    assert (lead["middle"], lead["same"], other["same"]) == (4, True, True)
    _, curve = train(spec, 0, training_set, tmp_path / "one", quiet_runtime)
    assert lead["curve"] == other["curve"]
    for ours, theirs in zip(lead["curve"], curve, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


def test_a_checkpoint_of_two_processes_is_not_gone_on_with_by_one(
    make_spec: Any,
    training_set: Any,
    quiet_runtime: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = make_spec("simclr")
    with patch("metaug.training.provenance.processes", lambda: 2):
        train(spec, 0, training_set, tmp_path, quiet_runtime)
    train(spec, 0, training_set, tmp_path, quiet_runtime)
    assert "was made with processes = 2, not None: trial 0 starts anew" in capsys.readouterr().out
