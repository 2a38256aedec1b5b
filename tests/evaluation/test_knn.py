import math

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from metaug.evaluation import knn
from metaug.evaluation.knn import knn_accuracy


def clusters(n, classes=4, dim=6, seed=0, spread=1.0):
    """Overlapping clusters: features (n, dim) and labels."""
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(42))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    noise = torch.randn(n, dim, generator=generator)
    return centres[labels] + spread * noise, labels


def naive_accuracy(train, test, classes, neighbours):
    """Image by image: votes of the k nearest by cosine, each exp(cosine / 0.07)."""
    hits = 0
    for x, y in zip(test[0].double(), test[1].tolist(), strict=True):
        votes = [0.0] * classes
        scored = sorted(
            (
                (float(x @ other / x.norm() / other.norm()), int(label))
                for other, label in zip(train[0].double(), train[1], strict=True)
            ),
            reverse=True,
        )
        for cosine, label in scored[:neighbours]:
            votes[label] += math.exp(cosine / 0.07)
        hits += votes.index(max(votes)) == y
    return 100 * hits / len(test[1])


@pytest.mark.parametrize("neighbours", [1, 5, 20, 1000])
def test_accuracy_equals_a_naive_loop(neighbours):
    train, test = clusters(80), clusters(50, seed=1)
    expected = naive_accuracy(train, test, 4, neighbours)
    assert 25 < expected < 100
    assert knn_accuracy(train, test, 4, neighbours) == pytest.approx(expected)


@pytest.mark.parametrize("neighbours", [1, 7])
def test_accuracy_equals_scikit_learns(neighbours):
    train, test = clusters(200), clusters(120, seed=1)
    reference = KNeighborsClassifier(
        neighbours,
        metric="cosine",
        algorithm="brute",
        weights=lambda d: torch.exp((1 - torch.tensor(d)) / 0.07).numpy(),
    ).fit(train[0], train[1])
    expected = 100 * reference.score(test[0], test[1])
    assert knn_accuracy(train, test, 4, neighbours) == pytest.approx(expected)


def test_a_training_image_is_its_own_nearest_neighbour():
    train = clusters(60)
    assert knn_accuracy(train, train, 4, 1) == 100


def test_lengths_of_features_do_not_matter():
    train, test = clusters(80), clusters(50, seed=1)
    scale = torch.rand(80, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    stretched = (train[0] * scale, train[1])
    assert knn_accuracy(stretched, test, 4, 5) == knn_accuracy(train, test, 4, 5)


def test_large_test_sets_are_counted_in_pieces_without_loss():
    train, test = clusters(40), clusters(2500, seed=1)
    parts = [
        knn_accuracy(train, (test[0][rows], test[1][rows]), 4, 5) * len(rows)
        for rows in torch.arange(2500).split(900)
    ]
    assert knn_accuracy(train, test, 4, 5) == pytest.approx(sum(parts) / 2500)


def test_keys_may_be_compared_part_by_part(monkeypatch):
    train, test = clusters(80), clusters(50, seed=1)
    whole = [knn_accuracy(train, test, 4, k) for k in (1, 5, 200)]
    monkeypatch.setattr(knn, "KEYS", 9)
    assert [knn_accuracy(train, test, 4, k) for k in (1, 5, 200)] == whole
