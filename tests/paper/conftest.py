"""Synthetic results of every training that the plan of a scale has, with known means."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from metaug.reporting.aggregate import COLUMNS
from metaug.reporting.results import readout_of
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan
from tests.paper.synthetic import plan_of, readouts_of

SCORES = {"metaug": 75.0, "metaug_nnclr": 74.0, "metaug_mag": 71.0, "metaug_oucl": 70.0}
"""Every other method: 60, less what its place in the alphabet takes away."""

WEAK = {"hflip+rotate": 1.0, "crop": 0.9, "grey": 1.2, "jitter": 0.7}
"""How much an augmentation lowers accuracies; the full set raises them by 1."""

Mean = Callable[[TrialSpec, str], float]


def as_the_paper_says(spec: TrialSpec, readout: str) -> float:
    """An accuracy of a world in which all fifteen claims are true."""
    hyper, method = spec.hyper, spec.method
    value = SCORES.get(method, 60 - ord(method[0]) / 20)
    value += 0.5 if readout.startswith("fc") else 0.0
    augmentation = spec.augmentation[0]
    if "mixup" in augmentation or "rotate+crop" in augmentation:
        value += 1.0
    weak = WEAK.get(augmentation, 0.0) * (3.0 if method == "looc" else 1.0)
    value += math.log2(spec.batch_size / 64) * (0.5 if method == "metaug_oucl" else 0.8) - weak
    if "delta" in hyper:
        value -= 0.8 * abs(math.log10(hyper["delta"] or 1e-9) + 5)
    if "features=with_augmented" in readout:
        value -= 0.6
    if "alpha" in hyper:
        alpha, size = hyper["alpha"], hyper.get("margin_size", "large")
        value -= {"large": 0.0, "medium": 1.0, "small": 2.0}[size] if alpha else 3.0
        value -= 0.3 * max(0.0, -11 - math.log10(alpha)) if alpha else 0.0
    if "beta" in hyper:
        value -= 0.7 * abs(math.log2(hyper["beta"]) - 4)
    if "gamma" in hyper:
        value -= abs(hyper["gamma"] - 0.4)
    if hyper.get("loss") == "weighted":
        value += 1.0 - 0.4 * abs(hyper["decay"] - 6)
    return value


def similarity_as_the_paper_says(spec: TrialSpec, features: str, pairs: str) -> float:
    """A mean similarity, in [0, 1], of that world."""
    margin = spec.hyper.get("alpha", 0) > 0
    if features == "with_augmented":
        return {"positive": 0.80 if margin else 0.95, "negative": 0.5}[pairs]
    return {"positive": 0.90, "negative": 0.45 if margin else 0.55}[pairs]


def results_of(
    plan: Plan,
    *artefacts: str,
    noise: float = 0.05,
    trials: int = 5,
    accuracy: Mean = as_the_paper_says,
    mirrored: bool = False,
) -> pd.DataFrame:
    """A tidy frame of a plan: the means of `accuracy` plus normal noise.

    Args:
        plan: gives specs and settings.
        *artefacts: only what these need.
        noise: standard deviation, in points; of similarities a hundredth of it.
        trials: number of trials.
        accuracy: means by spec and read-out.
        mirrored: turn all values round: what was greater is less.
    """
    rng = np.random.default_rng(0)
    rows = []
    needed = [spec for name in artefacts for spec in plan.specs_of[name]]
    for spec in dict.fromkeys(needed) if artefacts else plan.specs.values():
        setting = plan.setting(spec)
        numbers = [
            (probe, option, metric, accuracy(spec, f"{probe};{option}") + shift, 100.0)
            for probe, option in readouts_of(spec)
            for metric, shift in (("top1", 0.0), ("top5", 10.0), ("knn_top1", -5.0))
        ]
        if spec.method.startswith("metaug"):
            numbers += [
                (
                    "",
                    f"features={features};pairs={pairs}",
                    "mean_similarity",
                    similarity_as_the_paper_says(spec, features, pairs),
                    1.0,
                )
                for features in ("original", "with_augmented")
                for pairs in ("positive", "negative")
            ]
        keys = (spec.method, spec.dataset, spec.backbone)
        for probe, option, metric, mean, top in numbers:
            joined = ";".join(sorted(part for part in (*setting.split(";"), option) if part))
            for trial in range(trials):
                value = (top - mean if mirrored else mean) + rng.normal(0, noise) * top / 100
                readout = readout_of(probe, option)
                cell = (*keys, probe, readout, joined, metric, min(max(value, 0.0), top))
                rows.append((spec.scale, spec.hash, trial, 1000 + trial, *cell))
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="session")
def full_plan() -> Plan:
    return plan_of("full")


@pytest.fixture(scope="session")
def smoke_plan() -> Plan:
    return plan_of("smoke")


@pytest.fixture(scope="session")
def lite_plan() -> Plan:
    return plan_of("lite")


@pytest.fixture(scope="session")
def make_results() -> Callable[..., pd.DataFrame]:
    return results_of


@pytest.fixture(scope="session")
def true_means() -> Mean:
    return as_the_paper_says
