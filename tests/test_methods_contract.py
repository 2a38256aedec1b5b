"""What every registered method must keep. New methods are found by themselves."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from metaug.method import registered_methods
from metaug.training import loop
from metaug.training.loop import Runtime, TrainingSet, train

METHODS = sorted(registered_methods())
TRAINED = [name for name in METHODS if registered_methods()[name].trained]


def global_states():
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002


def state(method):
    """Everything that a checkpoint holds, flat."""
    tensors = dict(method.state_dict())
    for name, optimizer in method.optimizers.items():
        for key, values in optimizer.state_dict()["state"].items():
            for field, value in values.items():
                tensors[f"{name}.{key}.{field}"] = torch.as_tensor(value)
    return tensors


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_finite_repeatable_resumable_and_moves_the_encoders(
    name, make_spec, training_set: TrainingSet, quiet_runtime: Runtime, tmp_path: Path, monkeypatch
):
    spec = make_spec(name)
    before = global_states()
    method, curve = train(spec, 0, training_set, tmp_path / "a", quiet_runtime)
    assert global_states() == before, "the global random state was used"

    assert all(math.isfinite(value) for epoch in curve for value in epoch.values())
    start, _ = train(
        spec.model_copy(update={"epochs": 0}), 0, training_set, tmp_path, quiet_runtime
    )
    still = [
        key
        for (key, p), q in zip(
            method.encoders.named_parameters(), start.encoders.parameters(), strict=True
        )
        if torch.equal(p, q)
    ]
    assert not still, "parameters of the encoders that training left alone"

    # killed in the third step, and started again
    with monkeypatch.context() as patch:
        calls = iter(range(100))
        factor = loop.rate_factor

        def kill(spec, progress):
            if next(calls) == 2:
                raise KeyboardInterrupt
            return factor(spec, progress)

        patch.setattr(loop, "rate_factor", kill)
        with pytest.raises(KeyboardInterrupt):
            train(spec, 0, training_set, tmp_path / "b", quiet_runtime)
    assert (tmp_path / "b" / loop.CHECKPOINT).exists()
    resumed, resumed_curve = train(spec, 0, training_set, tmp_path / "b", quiet_runtime)
    assert resumed_curve == curve
    assert same(state(resumed), state(method))

    _, other = train(spec, 1, training_set, tmp_path / "c", quiet_runtime)
    assert other != curve, "two trials of equal numbers"


@pytest.mark.parametrize("name", METHODS)
def test_representation_has_its_shapes_and_repeats(
    name, make_spec, training_set: TrainingSet, ready
):
    method = ready(make_spec(name)).eval()
    images = training_set.batch(torch.arange(6), torch.device("cpu")).float() / 255
    before = global_states()
    with torch.no_grad():
        first, second = method.representation(images), method.representation(images)
        summaries = method.summaries(images, torch.Generator().manual_seed(0))
    assert global_states() == before
    assert {"conv", "fc"} <= first.keys()
    for readout, features in first.items():
        assert features.ndim == 2 and len(features) == 6, readout
        assert features.isfinite().all(), readout
        assert torch.equal(features, second[readout]), readout
    assert all(math.isfinite(v) for numbers in summaries.values() for v in numbers.values())


@pytest.mark.parametrize("name", METHODS)
def test_every_hyperparameter_says_what_it_means(name):
    for key, field in registered_methods()[name].Hyper.model_fields.items():
        assert field.description, f"{name}.{key} has no description"
