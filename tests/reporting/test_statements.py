"""How far a difference would move with other test images of the same kind."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from metaug.hits import encode_hits
from metaug.reporting.results import Query, Results
from metaug.reporting.statements import Statement, mean_of, quantity
from tests.paper.synthetic import plan_of, results_from

GRID = plan_of("lite").grid
A, B, ELSEWHERE = (
    Query(GRID.spec(method, dataset), "conv")
    for method, dataset in (("metaug", "cifar10"), ("cmc", "cifar10"), ("cmc", "cifar100"))
)
EPOCHS = A.spec.probe.averaged_epochs
STATEMENT = Statement("a > b", quantity(A), quantity(B))


def results_with(images: int = 1000, trials: int = 5) -> tuple[Results, np.ndarray]:
    """Results whose values are the means of their hits, and the difference of each image."""
    rng, hits, values = np.random.default_rng(0), {}, {}
    for query, right in ((A, 0.7), (B, 0.6), (ELSEWHERE, 0.4)):
        numbers = EPOCHS * (rng.random((trials, images)) < right)
        values[query] = [float(trial.mean() / EPOCHS * 100) for trial in numbers]
        for trial, row in enumerate(numbers):
            hits[query.spec.hash, trial] = {"conv": encode_hits(torch.from_numpy(row))}
        values[query.spec.hash] = numbers.mean(0) / EPOCHS * 100
    differences = values.pop(A.spec.hash) - values.pop(B.spec.hash)
    values.pop(ELSEWHERE.spec.hash)
    return results_from(values, hits=hits), differences


def test_it_is_the_t_interval_over_images_of_the_mean_over_trials() -> None:
    results, differences = results_with()
    comparison = STATEMENT.compare(results)
    assert comparison.effect == pytest.approx(differences.mean())
    low, high = stats.t.interval(0.95, 999, differences.mean(), stats.sem(differences))
    assert comparison.of_images == pytest.approx((high - low) / 2)


def test_only_the_trials_of_the_last_look_count() -> None:
    seven, _ = results_with(trials=7)
    assert STATEMENT.compare(seven).n == 5
    assert not math.isnan(STATEMENT.compare(seven).of_images)
    assert math.isnan(STATEMENT.compare(results_with(trials=4)[0]).of_images)


def test_it_is_unknown_without_hits_and_across_test_sets() -> None:
    results, _ = results_with()
    assert math.isnan(STATEMENT.compare(results_from({A: [1.0] * 5, B: [0.0] * 5})).of_images)
    across = Statement("a > b", mean_of([quantity(A), quantity(ELSEWHERE)]), quantity(B))
    assert math.isnan(across.compare(results).of_images)
