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
    "width .125, 20,000 images, 12 epochs": {"width": 0.125, "epochs": 12, "train_images": 20000},
}

QUESTIONS = {
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
        {
            name: {"*": LITE[name]}
            for name in (
                "width .25, 10 epochs",
                "width .125, 24 epochs",
                "width .125, 12 epochs",
            )
        },
    ),
}
