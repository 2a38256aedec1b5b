import csv
import errno
import os

import numpy as np
import pytest
import torch

from metaug.errors import Diverged, UserError
from metaug.method import DataShape, Method, build_method, find_method
from metaug.seeds import epoch_order
from metaug.training import loop
from metaug.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from metaug.training.curve import CURVE
from metaug.training.loop import train
from metaug.training.runtime import Runtime


class Stop(Exception):
    """Stands for whatever ends a process in the middle of a training."""


@pytest.fixture
def seen(monkeypatch):
    """The batches that SimCLR is given."""
    batches, original = [], Method.update

    def update(self, batch):
        batches.append(batch)
        return original(self, batch)

    monkeypatch.setattr(Method, "update", update)
    return batches


@pytest.fixture
def stop_at(monkeypatch):
    """Make a method fail at a step, once."""

    def arrange(name, step, error=Stop):
        kind = find_method(name)
        original = kind.update

        def update(self, batch):
            if batch.step == step:
                monkeypatch.setattr(kind, "update", original)
                raise error
            return original(self, batch)

        monkeypatch.setattr(kind, "update", update)

    return arrange


def same_state(a, b):
    mine, theirs = a.state_dict(), b.state_dict()
    return set(mine) == set(theirs) and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_every_batch_is_a_piece_of_the_epochs_order(
    make_spec, training_set, tmp_path, quiet_runtime, seen
):
    """24 images in batches of 7: three full batches, the last three images are dropped."""
    train(make_spec("simclr", batch_size=7), 3, training_set, tmp_path, quiet_runtime)
    assert len(seen) == 6
    for step, batch in enumerate(seen):
        epoch, position = divmod(step, 3)
        expected = epoch_order(3, epoch, 0, 24)[7 * position : 7 * position + 7]
        assert torch.equal(batch.index, expected)
        assert torch.equal(batch.labels, training_set.labels[expected])
        assert (batch.step, batch.epoch, batch.pass_index) == (step, epoch, 0)
        assert batch.progress == pytest.approx(step / 6)
        assert len(batch.crops) == 2
        for crop in batch.crops:
            assert crop.shape == (7, 3, 32, 32)
            assert 0 <= crop.min() < crop.max() <= 1


def test_passes_of_an_epoch_have_orders_of_their_own(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch
):
    kind, batches = find_method("metaug"), []
    original = kind.update
    monkeypatch.setattr(kind, "update", lambda m, b: batches.append(b) or original(m, b))
    spec = make_spec("metaug", update_order="per_pass")
    train(spec, 0, training_set, tmp_path, quiet_runtime)
    assert [batch.pass_index for batch in batches] == [0, 0, 0, 1, 1, 1] * 2
    assert [batch.epoch for batch in batches] == [0] * 6 + [1] * 6
    orders = [torch.cat([b.index for b in batches[i : i + 3]]) for i in range(0, 12, 3)]
    for order, (epoch, pass_index) in zip(orders, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        assert torch.equal(order, epoch_order(0, epoch, pass_index, 24))


def test_crops_are_drawn_anew_at_every_step(make_spec, training_set, tmp_path, quiet_runtime, seen):
    train(make_spec("simclr", batch_size=24), 0, training_set, tmp_path, quiet_runtime)
    first, second = (batch.crops[0][batch.index.argsort()] for batch in seen)
    assert not torch.equal(first, second)
    assert not torch.equal(seen[0].crops[0], seen[0].crops[1])


def test_the_curve_is_the_mean_of_what_was_logged(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch
):
    """A quantity that is logged now and then is averaged over the steps that logged it."""
    kind = find_method("simclr")

    def update(method, batch):
        return {"loss": batch.step + 1.0} | ({"rare": 5.0} if batch.step == 1 else {})

    monkeypatch.setattr(kind, "update", update)
    _, curve = train(make_spec("simclr"), 0, training_set, tmp_path, quiet_runtime)
    assert curve == [{"epoch": 0, "loss": 2.0, "rare": 5.0}, {"epoch": 1, "loss": 5.0}]
    rows = list(csv.DictReader((tmp_path / CURVE).open()))
    assert rows == [
        {"epoch": "0", "loss": "2.0", "rare": "5.0"},
        {"epoch": "1", "loss": "5.0", "rare": ""},
    ]


def test_the_learning_rate_follows_the_schedule(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch
):
    rates, kind = [], find_method("metaug")
    original = kind.update

    def update(method, batch):
        rates.append({n: o.param_groups[0]["lr"] for n, o in method.optimizers.items()})
        return original(method, batch)

    monkeypatch.setattr(kind, "update", update)
    settings = {"update_order": "alternating", "schedule": "cosine", "learning_rate": 0.02}
    spec = make_spec("metaug", mag_learning_rate=0.03, **settings)
    train(spec, 0, training_set, tmp_path, quiet_runtime)
    expected = [0.01 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
    assert [rate["encoder"] for rate in rates] == pytest.approx(expected)
    assert {rate["mag"] for rate in rates} == {0.03}
    rates.clear()
    train(make_spec("metaug", **settings), 0, training_set, tmp_path / "own", quiet_runtime)
    assert [rate["mag"] for rate in rates] == pytest.approx(expected)


def test_a_trial_repeats_itself_and_trials_differ(make_spec, training_set, tmp_path, quiet_runtime):
    spec = make_spec("simclr")
    runs = [
        train(spec, trial, training_set, tmp_path / str(i), quiet_runtime)
        for i, trial in enumerate((0, 0, 1))
    ]
    assert runs[0][1] == runs[1][1]
    assert same_state(runs[0][0], runs[1][0])
    assert runs[0][1] != runs[2][1]


@pytest.fixture(scope="module")
def undisturbed(make_spec, training_set, tmp_path_factory):
    """A whole training of MetAug with the paper's two passes, 2 epochs of 2 x 2 steps."""
    spec = make_spec("metaug", optimizer="adam", learning_rate=0.001, batch_size=12)
    folder = tmp_path_factory.mktemp("whole")
    runtime = Runtime(torch.device("cpu"), checkpoint_seconds=0, progress=False)
    return spec, folder, *train(spec, 0, training_set, folder, runtime)


@pytest.mark.parametrize("step", range(1, 8))
def test_a_training_stopped_anywhere_continues_bit_for_bit(
    undisturbed, training_set, tmp_path, quiet_runtime, stop_at, step
):
    """The stops fall into both passes, between them and between epochs."""
    spec, whole, expected, curve = undisturbed
    stop_at("metaug", step)
    with pytest.raises(Stop):
        train(spec, 0, training_set, tmp_path, quiet_runtime)
    resumed, again = train(spec, 0, training_set, tmp_path, quiet_runtime)
    assert again == curve
    assert same_state(resumed, expected)
    assert (tmp_path / CURVE).read_text() == (whole / CURVE).read_text()


def test_a_training_stopped_twice_continues_bit_for_bit(
    make_spec, training_set, tmp_path, quiet_runtime, stop_at
):
    spec = make_spec("simclr")
    expected, curve = train(spec, 0, training_set, tmp_path / "whole", quiet_runtime)
    for step in (2, 4):
        stop_at("simclr", step)
        with pytest.raises(Stop):
            train(spec, 0, training_set, tmp_path / "stopped", quiet_runtime)
    resumed, again = train(spec, 0, training_set, tmp_path / "stopped", quiet_runtime)
    assert again == curve
    assert same_state(resumed, expected)


def test_a_stop_before_the_first_checkpoint_starts_over(
    make_spec, training_set, tmp_path, replace_runtime, stop_at
):
    spec, patient = make_spec("simclr"), replace_runtime(checkpoint_seconds=1e6)
    expected, curve = train(spec, 0, training_set, tmp_path / "whole", patient)
    assert not (tmp_path / "whole" / CHECKPOINT).exists()
    stop_at("simclr", 4)
    with pytest.raises(Stop):
        train(spec, 0, training_set, tmp_path / "stopped", patient)
    assert not (tmp_path / "stopped" / CHECKPOINT).exists()
    resumed, again = train(spec, 0, training_set, tmp_path / "stopped", patient)
    assert again == curve
    assert same_state(resumed, expected)


def test_checkpoints_are_as_far_apart_as_asked(
    make_spec, training_set, tmp_path, replace_runtime, monkeypatch
):
    clock, steps = iter(range(0, 1000, 10)), []
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(loop, "save_training", lambda *a: steps.append(a[4]))
    spec = make_spec("simclr", epochs=4)
    train(spec, 0, training_set, tmp_path, replace_runtime(checkpoint_seconds=25))
    # a look at the clock every 10 s: the third one is late enough; one more look when it is saved
    assert steps == [3, 6, 9, 12]


def test_a_finished_training_leaves_a_checkpoint_of_its_end(
    make_spec, training_set, tmp_path, quiet_runtime, seen
):
    """What is killed while it is probed is not trained again."""
    spec = make_spec("simclr")
    trained, curve = train(spec, 0, training_set, tmp_path, quiet_runtime)
    assert load_checkpoint(tmp_path / CHECKPOINT, torch.device("cpu"))["step"] == 6
    before = len(seen)
    again, same_curve = train(spec, 0, training_set, tmp_path, quiet_runtime)
    assert len(seen) == before
    assert same_curve == curve
    assert same_state(again, trained)


def _another_spec(make_spec, path):
    return make_spec("simclr", temperature=0.3), 0


def _another_trial(make_spec, path):
    return make_spec("simclr"), 1


def _older_code(make_spec, path):
    state = load_checkpoint(path, torch.device("cpu"))
    state["method"]["projector.9.weight"] = torch.zeros(1)
    save_checkpoint(path, state)
    return make_spec("simclr"), 0


def _cut_short(make_spec, path):
    path.write_bytes(path.read_bytes()[:-100])
    return make_spec("simclr"), 0


@pytest.mark.parametrize(
    "spoil, why",
    [
        (_another_spec, "belongs to another training"),
        (_another_trial, "belongs to another training"),
        (_older_code, "does not fit the code of simclr"),
        (_cut_short, "is cut short, damaged or of an older version"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named_and_not_used(
    make_spec, training_set, tmp_path, quiet_runtime, capsys, spoil, why
):
    train(make_spec("simclr"), 0, training_set, tmp_path, quiet_runtime)
    path = tmp_path / CHECKPOINT
    spec, trial = spoil(make_spec, path)
    method, curve = train(spec, trial, training_set, tmp_path, quiet_runtime)
    said = capsys.readouterr().out
    assert said == f"checkpoint {path} {why}: trial {trial} starts anew\n"
    fresh, expected = train(spec, trial, training_set, tmp_path / "fresh", quiet_runtime)
    assert curve == expected
    assert same_state(method, fresh)


def test_a_full_disk_ends_a_training_in_one_line_and_loses_nothing(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch
):
    spec = make_spec("simclr")
    expected, curve = train(spec, 0, training_set, tmp_path / "whole", quiet_runtime)
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device") as error:
            train(spec, 0, training_set, tmp_path / "stopped", quiet_runtime)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "stopped").glob(".*"))
    resumed, again = train(spec, 0, training_set, tmp_path / "stopped", quiet_runtime)
    assert again == curve
    assert same_state(resumed, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["loss", "meta_loss"])
def test_a_loss_that_is_not_finite_names_the_step(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch, key, value
):
    def update(method, batch):
        return {"loss": 1.0, key: torch.tensor(value if batch.step == 4 else 1.0)}

    monkeypatch.setattr(find_method("simclr"), "update", update)
    spec = make_spec("simclr")
    with pytest.raises(Diverged) as error:
        train(spec, 7, training_set, tmp_path, quiet_runtime)
    assert str(error.value) == f"{key} is {value} at step 4 (epoch 1)"


def test_a_training_that_explodes_is_stopped(make_spec, training_set, tmp_path, quiet_runtime):
    spec = make_spec("simclr", learning_rate=1e30, epochs=20, schedule="constant")
    with pytest.raises(Diverged, match=r"^loss is (nan|-?inf) at step \d+ \(epoch \d+\)$"):
        train(spec, 0, training_set, tmp_path, quiet_runtime)


def test_fewer_images_than_a_batch_are_refused(make_spec, training_set, tmp_path, quiet_runtime):
    spec = make_spec("simclr", batch_size=25)
    with pytest.raises(UserError, match="24 training images are fewer than a batch of 25"):
        train(spec, 0, training_set, tmp_path, quiet_runtime)


def test_nothing_is_trained_in_no_epochs_or_without_training(
    make_spec, training_set, tmp_path, quiet_runtime
):
    for spec in (make_spec("simclr", epochs=0), make_spec("random")):
        method, curve = train(spec, 0, training_set, tmp_path, quiet_runtime)
        assert curve == []
        assert method.spec == spec
        assert not list(tmp_path.iterdir())


def test_initial_weights_come_from_the_trial_alone(
    make_spec, training_set, tmp_path, quiet_runtime
):
    starts = [
        train(
            make_spec("simclr", epochs=0, weight_decay=w), t, training_set, tmp_path, quiet_runtime
        )
        for w, t in [(0.0, 0), (0.1, 0), (0.0, 1)]
    ]
    weights = [method.encoder.stages.conv3[0].weight for method, _ in starts]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_crops_are_the_same_for_every_method_batch_by_batch(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch
):
    """So are the learning rate and the draws of the bank, whatever the number of passes."""
    seen = {}
    for name in ("cmc", "metaug", "simclr", "byol"):
        kind, batches = find_method(name), []
        with monkeypatch.context() as patch:
            patch.setattr(
                kind, "update", lambda m, b, batches=batches: batches.append(b) or {"loss": 0.0}
            )
            train(make_spec(name), 1, training_set, tmp_path / name, quiet_runtime)
        seen[name] = [batch for batch in batches if batch.pass_index == 0]
    for batches in zip(*seen.values(), strict=True):
        first, *others = batches
        for other in others:
            assert torch.equal(first.index, other.index)
            assert torch.equal(first.crops[0], other.crops[0])
            assert first.progress == other.progress
            draws = [torch.rand(3, generator=b.draws("negatives")) for b in (first, other)]
            assert torch.equal(*draws)
    second_crops = zip(seen["simclr"], seen["byol"], strict=True)
    assert all(torch.equal(a.crops[1], b.crops[1]) for a, b in second_crops)


@pytest.mark.parametrize("name", ["cmc", "metaug_oucl", "metaug"])
def test_the_bank_starts_with_the_untrained_features_of_every_image(
    make_spec, training_set, tmp_path, quiet_runtime, monkeypatch, name
):
    starts = {}
    for start in ("data", "random"):
        with monkeypatch.context() as patch:
            kind = find_method(name)
            patch.setattr(kind, "update", lambda m, b: {"loss": 0.0})
            spec = make_spec(name, bank_start=start, batch_size=7)
            method, _ = train(spec, 0, training_set, tmp_path / start, quiet_runtime)
        starts[start] = method
    untrained = build_method(make_spec(name), DataShape(24, 4), 0)
    assert torch.equal(starts["random"].bank.l, untrained.bank.l)
    rows = starts["data"].bank.l
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(24))
    assert not torch.isclose(rows, untrained.bank.l).all(1).any()
    # the pass leaves everything else as it was
    for key, value in starts["data"].state_dict().items():
        if not key.startswith("bank."):
            assert torch.equal(value, starts["random"].state_dict()[key]), key


def test_tensorboard_gets_the_curve(make_spec, training_set, tmp_path, replace_runtime):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "events"
    runtime = replace_runtime(tensorboard=folder)
    _, curve = train(make_spec("simclr"), 0, training_set, tmp_path, runtime)
    events = EventAccumulator(str(folder))
    events.Reload()
    values = [event.value for event in events.Scalars("loss")]
    assert values == pytest.approx([epoch["loss"] for epoch in curve], rel=1e-6)


def test_the_mixed_precision_of_a_run_reaches_the_method(
    make_spec, training_set, tmp_path, replace_runtime
):
    spec = make_spec("simclr", epochs=1)
    (plain, curve), (mixed, other) = (
        train(spec, 0, training_set, tmp_path / str(on), replace_runtime(mixed_precision=on))
        for on in (False, True)
    )
    assert (plain.mixed_precision, mixed.mixed_precision) == (False, True)
    assert curve != other
