import hashlib
import json

import pytest
from pydantic import Field

from metaug.errors import UserError
from metaug.spec import Frozen, ProbeSpec, TrialSpec, suggestion, validated

FIELDS = {
    "scale": "tiny",
    "dataset": "digits_m",
    "image_size": 32,
    "method": "simclr",
    "backbone": "alexnet",
    "views": ["rgb"],
    "augmentation": "cmc",
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.03,
    "hyper": {"temperature": 0.5, "feature_dim": 16},
}


def spec(**changes):
    return validated(TrialSpec, {**FIELDS, **changes}, "spec")


def test_canonical_json_has_sorted_keys_and_no_spaces_and_reads_back():
    text = spec().canonical_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert TrialSpec.model_validate_json(text) == spec()
    assert TrialSpec.model_validate_json(text).hash == spec().hash


def test_the_hash_is_twelve_digits_of_the_sha_256_of_the_canonical_json():
    assert spec().hash == hashlib.sha256(spec().canonical_json().encode()).hexdigest()[:12]


CHANGES = {
    "scale": "smoke",
    "protocol_version": 99,
    "dataset": "cifar10",
    "image_size": 64,
    "train_images": 10,
    "method": "moco",
    "method_version": 2,
    "backbone": "resnet18",
    "width": 0.5,
    "view_width": 1.0,
    "views": ("lab",),
    "augmentation": "simclr",
    "batch_size": 16,
    "epochs": 3,
    "optimizer": "adam",
    "learning_rate": 0.1,
    "momentum": 0.5,
    "weight_decay": 0.1,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "hyper": {"temperature": 0.1, "feature_dim": 16},
    "probe": {"epochs": 3},
}


def test_every_field_is_part_of_the_hash():
    assert set(CHANGES) == set(TrialSpec.model_fields)
    hashes = {spec(**{name: value}).hash for name, value in CHANGES.items()}
    assert len(hashes | {spec().hash}) == len(CHANGES) + 1


def test_equal_specs_are_one_key():
    assert {spec(): 1}[spec()] == 1
    assert len({spec(), spec(epochs=3), spec()}) == 2


def test_the_order_of_hyper_parameters_does_not_matter():
    assert spec(hyper={"feature_dim": 16, "temperature": 0.5}).hash == spec().hash


def test_a_whole_number_is_the_same_rate_as_the_integer():
    assert spec(learning_rate=1).hash == spec(learning_rate=1.0).hash


def test_one_augmentation_is_a_tuple_of_one():
    assert spec().augmentation == ("cmc",)
    assert spec(augmentation=["cmc", "simclr"]).augmentation == ("cmc", "simclr")


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        spec().epochs = 5


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch_size": -1}, "batch_size = -1"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"epochs": -1}, "epochs = -1"),
        ({"epochs": 1.5}, "epochs = 1.5"),
        ({"image_size": 4}, "image_size = 4"),
        ({"learning_rate": 0}, "learning_rate = 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"learning_rate": "fast"}, "learning_rate = 'fast'"),
        ({"momentum": 1.0}, "momentum = 1.0"),
        ({"width": 0}, "width = 0"),
        ({"train_images": 1}, "train_images = 1"),
        ({"backbone": "vgg"}, "backbone = 'vgg'"),
        ({"optimizer": "lars"}, "optimizer = 'lars'"),
        ({"hyper": {"temperature": float("inf")}}, "hyper.temperature"),
        ({"hyper": {"temperature": [1]}}, "hyper.temperature"),
        ({"probe": {"epochs": 0}}, "probe.epochs = 0"),
        ({"bach_size": 8}, "unknown key 'bach_size'; did you mean 'batch_size'"),
        ({"probe": {"epoch": 3}}, "unknown key 'probe.epoch'; did you mean 'epochs'"),
        ({"zzz": 8}, "unknown key 'zzz'; known: augmentation"),
    ],
)
def test_what_is_impossible_is_named_in_one_line(changes, message):
    with pytest.raises(UserError) as error:
        spec(**changes)
    assert message in str(error.value)
    assert str(error.value).startswith("spec: ")
    assert "\n" not in str(error.value)


def test_a_missing_field_is_named():
    with pytest.raises(UserError, match="spec: dataset"):
        validated(TrialSpec, {k: v for k, v in FIELDS.items() if k != "dataset"}, "spec")


def test_flat_spreads_hyper_parameters_and_probe():
    flat = spec().flat()
    assert flat["temperature"] == 0.5
    assert flat["probe.epochs"] == ProbeSpec().epochs
    assert not any(isinstance(value, dict) for value in flat.values())


def test_the_difference_names_what_changed_in_sorted_order():
    changed = spec(
        epochs=7,
        augmentation=["cmc", "simclr"],
        hyper={"temperature": 1e-5, "feature_dim": 16, "extra": True},
        probe={"epochs": 9},
    )
    assert changed.difference(spec()) == (
        "augmentation=cmc|simclr;epochs=7;extra=True;probe.epochs=9;temperature=1e-05"
    )
    assert spec().difference(spec()) == ""


def test_specs_read_as_a_person_would_say_it():
    assert str(spec()) == f"simclr on digits_m (alexnet, spec {spec().hash})"


def test_suggestions():
    assert suggestion("simclr", ["simclr", "cmc"]) == "did you mean 'simclr'?"
    assert suggestion("simcrl", {"simclr": 1, "cmc": 2}) == "did you mean 'simclr'?"
    assert suggestion("qqq", ["b", "a"]) == "known: a, b"


def test_a_bound_is_named():
    class Pair(Frozen):
        """A setting."""

        low: int = Field(0, ge=0)

    with pytest.raises(UserError, match=r"here: low = -1: it must be at least 0"):
        validated(Pair, {"low": -1}, "here")
