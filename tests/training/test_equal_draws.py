"""Two methods that are compared differ in nothing but what the comparison is about."""

import copy
from itertools import count

import pytest
import torch

from metaug.data.arrays import Split
from metaug.evaluation.protocol import evaluate
from metaug.method import find_method
from metaug.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture
def trained(make_spec, training_set, tmp_path, quiet_runtime):
    """A method trained for two epochs from warm-up to probes, and its rows of results."""

    numbers = count()

    def run(name, **changes):
        spec = make_spec(name, optimizer="adam", learning_rate=1e-3, **changes)
        method, curve = train(spec, 5, training_set, tmp_path / str(next(numbers)), quiet_runtime)
        test = Split(training_set.images[:, ::-1].copy(), training_set.labels.numpy())
        rows = evaluate(method, spec, 5, training_set, test, CPU).rows
        accuracies = {
            (row["probe"], row["metric"]): row["value"]
            for row in rows
            if row["probe"] in ("conv", "fc6", "fc") and not row["setting"]
        }
        state = {
            key: value
            for key, value in method.state_dict().items()
            if key.startswith(("encoders.", "projectors.", "bank."))
        }
        return state, accuracies, [epoch["loss"] for epoch in curve]

    return run


def equal(ours, theirs):
    """States, accuracies and losses, bit for bit."""
    assert ours[0].keys() == theirs[0].keys()
    assert [key for key in ours[0] if not torch.equal(ours[0][key], theirs[0][key])] == []
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]


def test_metaug_without_augmented_features_is_only_oucl(trained):
    equal(trained("metaug", delta=0.0), trained("metaug_oucl"))


def test_only_mag_without_augmented_features_is_cmc(trained):
    equal(trained("metaug_mag", delta=0.0), trained("cmc", temperature=0.07))


@pytest.mark.parametrize("name", ["metaug", "metaug_mag"])
def test_with_augmented_features_the_encoders_change(trained, name):
    """So that the tests above compare something."""
    state, *_ = trained(name, delta=0.1)
    other, *_ = trained(name, delta=0.0)
    assert any(not torch.equal(state[key], other[key]) for key in state)


def test_a_second_pass_that_does_nothing_changes_nothing(trained, monkeypatch):
    """The control of MetAug against only OUCL: what a second pass over the data does by itself."""
    expected = trained("metaug_oucl")
    kind = find_method("metaug_oucl")
    original = kind.update
    passes = []

    def update(self, batch):
        passes.append(batch.pass_index)
        return original(self, batch) if batch.pass_index == 0 else {}

    monkeypatch.setattr(kind, "update", update)
    monkeypatch.setattr(kind, "passes", 2)
    equal(trained("metaug_oucl"), expected)
    assert set(passes) == {0, 1}


def test_a_second_pass_that_refreshes_the_bank_is_seen_by_this_test(trained, monkeypatch):
    """What the MAGs' pass once did: it would pass for an effect of the MAGs."""
    expected = copy.deepcopy(trained("metaug_oucl"))
    kind = find_method("metaug_oucl")
    original = kind.update

    def update(self, batch):
        if batch.pass_index == 0:
            return original(self, batch)
        with torch.no_grad():
            self.update_bank(self(batch.views(self.spec.views)), batch)
        return {}

    monkeypatch.setattr(kind, "update", update)
    monkeypatch.setattr(kind, "passes", 2)
    assert trained("metaug_oucl")[2] != expected[2]
