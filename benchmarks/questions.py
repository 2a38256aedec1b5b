"""The questions that `benchmarks.choices` answers: what is compared, and in how many trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """A comparison of candidates.

    Attributes:
        scale: whose settings hold where a candidate does not change them.
        dataset: what is trained on; the validation part is held out of its training images.
        methods: rows of the table.
        trials: of every training.
        candidates: changes of the spec by candidate and then by method; `*` for every method.
    """

    scale: str
    dataset: str
    methods: tuple[str, ...]
    trials: int
    candidates: Mapping[str, Mapping[str, Mapping[str, Any]]]


LITE = {
    "width .25, 10 epochs": {"width": 0.25, "epochs": 10},
    "width .125, 24 epochs": {"width": 0.125, "epochs": 24},
    "width .125, 12 epochs": {"width": 0.125, "epochs": 12},
    "width .125, 5,000 images, 48 epochs": {"width": 0.125, "epochs": 48, "train_images": 5000},
    "width .125, 5,000 images, 24 epochs": {"width": 0.125, "epochs": 24, "train_images": 5000},
}

SELF_SUPERVISED = (
    *("bigan", "nat", "dim", "splitbrain", "swav", "simclr", "cmc", "moco", "byol"),
    *("barlow_twins", "dacl", "looc", "simclr_debiased", "simclr_hard", "cmc_debiased"),
    *("cmc_hard", "metaug_oucl", "metaug"),
)
"""The self-supervised rows of Table 1."""

NARROW: dict[str, Any] = {
    "image_size": 32,
    "width": 0.0625,
    "epochs": 12,
    "augmentation": "jitter+grey",
    "learning_rate": 0.001,
}
"""What `smoke` was meant to be when optimisers and remedies were asked for."""

SHORT = LITE["width .125, 12 epochs"]
"""What `lite` has become: the choices below are made under it."""

OPTIMIZERS = {
    "Adam 1e-3": {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
    "SGD .03": {"optimizer": "sgd", "learning_rate": 0.03, "momentum": 0.9, "weight_decay": 1e-4},
}
QUEUE = {"queue_size": 512, "queue_start": 0.05, "frozen_epochs": 1}

HANDICAPS: dict[str, dict[str, dict[str, Any]]] = {
    "bn_splits 1": {"moco": {"bn_splits": 1}, "looc": {"bn_splits": 1}},
    "bn_splits 8": {"moco": {"bn_splits": 8}, "looc": {"bn_splits": 8}},
    "temperature .07": {"cmc_debiased": {"temperature": 0.07}},
    "temperature .2": {"cmc_debiased": {"temperature": 0.2}},
    "no queue": {"swav": {"queue_size": 0, "frozen_epochs": 0}},
    "queue": {"swav": QUEUE},
    "temperature .5": {"cmc_debiased": {"temperature": 0.5}},
    "bn_splits 4": {"moco": {"bn_splits": 4}, "looc": {"bn_splits": 4}},
    "InfoMin, bn_splits 1": {"infomin": {"bn_splits": 1}},
    "InfoMin, bn_splits 8": {"infomin": {"bn_splits": 8}},
}
HANDICAPPED = ("moco", "looc", "swav", "cmc_debiased", "infomin")
CONTESTED = ("simsiam", "swav", "byol", "infomin")
"""Methods whose optimiser or queue had been chosen by test accuracy, and BYOL."""


def handicaps(scale: str, dataset: str, regime: Mapping[str, Any]) -> Question:
    """Do batch norm in parts, another temperature or a queue mend a method?"""
    candidates = {
        name: {method: {**regime, **change} for method, change in changes.items()}
        for name, changes in HANDICAPS.items()
    }
    return Question(scale, dataset, HANDICAPPED, 1, candidates)


def optimizers(scale: str, dataset: str, regime: Mapping[str, Any]) -> Question:
    """The same two optimisers for every method, first those whose choice was by test accuracy.

    BiGAN is left out: its game is played by Adam alone, and it refuses another optimiser.
    """
    methods = dict.fromkeys((*CONTESTED, *SELF_SUPERVISED, "cpc_v2", "nnclr"))
    methods.pop("bigan")
    candidates = {name: {"*": {**regime, **change}} for name, change in OPTIMIZERS.items()}
    return Question(scale, dataset, tuple(methods), 1, candidates)


SMALL: dict[str, Any] = {"image_size": 16, "width": 0.125, "epochs": 10}
SLOW = {"*": SMALL | {"learning_rate": 0.0003}, "bigan": SMALL}
"""What `smoke` has become; BiGAN has a rate of its own."""

QUESTIONS = {
    "optimizer": optimizers("lite", "cifar10", SHORT),
    "optimizer-smoke": optimizers("smoke", "digits_m", NARROW),
    "handicaps": handicaps("lite", "cifar10", SHORT),
    "handicaps-smoke": handicaps("smoke", "digits_m", NARROW),
    "smoke": Question("smoke", "digits_m", SELF_SUPERVISED, 3, {"as it is": SLOW}),
    "smoke-screening": Question(
        "smoke",
        "digits_m",
        ("bigan", "dim", "splitbrain", "byol", "metaug_oucl", "cmc", "looc"),
        1,
        {
            "32 px, width .0625, 8 epochs": {
                "*": NARROW | {"epochs": 8},
                "bigan": {"image_size": 32, "width": 0.0625, "epochs": 8},
            },
            "16 px, width .125, 10 epochs": {
                "*": SMALL | {"learning_rate": 0.001},
                "bigan": SMALL,
            },
            "the same, rate .0003": SLOW,
            "the same, momentum .5": {
                "byol": SMALL | {"learning_rate": 0.001, "momentum_start": 0.5}
            },
        },
    ),
    "smoke-remedies": Question(
        "smoke",
        "digits_m",
        ("byol", "dim", "splitbrain", "metaug_oucl"),
        1,
        {
            "12 epochs, batch 32": {"*": NARROW | {"batch_size": 32}},
            "12 epochs, momentum .9": {"byol": NARROW | {"momentum_start": 0.9}},
            "12 epochs, rate .0003": {"*": NARROW | {"learning_rate": 0.0003}},
            "12 epochs, no grey": {"*": NARROW | {"augmentation": "jitter"}},
            "6 epochs": {"*": NARROW | {"epochs": 6}},
        },
    ),
    "lite-screening": Question(
        "lite",
        "cifar10",
        ("simclr", "cmc", "metaug_oucl"),
        1,
        {name: {"*": changes} for name, changes in LITE.items()},
    ),
    "lite": Question(
        "lite",
        "cifar10",
        ("simclr", "cmc", "metaug_oucl", "barlow_twins", "supervised"),
        3,
        {"as it is": {"*": SHORT}},
    ),
    "lite-larger": Question(
        "lite",
        "cifar10",
        ("simclr", "cmc", "metaug_oucl"),
        1,
        {
            "as it is": {"*": SHORT},
            "20,000 images": {"*": SHORT | {"train_images": 20000}},
            "4,096 negatives": {
                method: SHORT | {"negatives": 4096} for method in ("cmc", "metaug_oucl")
            },
        },
    ),
}
