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

SELF_SUPERVISED = (
    *("bigan", "nat", "dim", "splitbrain", "swav", "simclr", "cmc", "moco", "byol"),
    *("barlow_twins", "dacl", "looc", "simclr_debiased", "simclr_hard", "cmc_debiased"),
    *("cmc_hard", "metaug_oucl", "metaug"),
)
"""The self-supervised rows of Table 1."""

SMOKE = {
    "crop + flip, width .125, 4 epochs": {"augmentation": "cmc", "width": 0.125, "epochs": 4},
    "jitter + grey, width .125, 4 epochs": {
        **{"augmentation": "jitter+grey", "width": 0.125, "epochs": 4}
    },
    "jitter + grey, width .0625, 8 epochs": {
        **{"augmentation": "jitter+grey", "width": 0.0625, "epochs": 8}
    },
    "jitter + grey, width .0625, 12 epochs": {
        **{"augmentation": "jitter+grey", "width": 0.0625, "epochs": 12}
    },
    "jitter + grey, width .0625, 12 epochs, rate .003": {
        **{"augmentation": "jitter+grey", "width": 0.0625, "epochs": 12, "learning_rate": 0.003}
    },
}

QUESTIONS = {
    "smoke": Question(
        "smoke",
        "digits_m",
        SELF_SUPERVISED,
        3,
        {name: {"*": changes} for name, changes in SMOKE.items()},
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
