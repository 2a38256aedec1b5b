"""Published recipes that several methods share: presets to check an implementation with."""

from typing import Any

PYCONTRAST_SGD = {"optimizer": "sgd", "learning_rate": 0.03, "momentum": 0.9, "weight_decay": 1e-4}
"""The optimiser of CMC's and PyContrast's code: in their recipes, and the default of SimSiam and
InfoMin, which gain by it (docs/lite.md)."""


def lightly_cifar(**changes: Any) -> dict[str, dict[str, Any]]:
    """The preset `own`: lightly's recipe for CIFAR-10 with a ResNet-18, and a method's `changes`.

    SimCLR's augmentation without blur, SGD with a rate of 0.06 at a batch of 128, cosine
    (lightly-ai/lightly: docs/source/getting_started/benchmarks/cifar10_benchmark.py).
    """
    recipe = {
        "augmentation": "simclr",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.06,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "cosine",
    }
    return {"own": recipe | changes}
