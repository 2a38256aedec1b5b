import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metaug.queue import FeatureQueue


def queue(size: int, dim: int = 3) -> FeatureQueue:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FeatureQueue(size, dim)


def features(count: int, seed: int, dim: int = 3) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_starts_as_unit_norm_gaussian_noise_and_is_not_full():
    ring = queue(4096, 16)
    torch.testing.assert_close(ring.features.norm(dim=1), torch.ones(4096))
    # directions of a Gaussian are uniform on the sphere: mean 0, covariance I / D
    assert ring.features.mean(0).norm() < 0.05
    torch.testing.assert_close(
        ring.features.T @ ring.features / 4096 * 16, torch.eye(16), atol=0.1, rtol=0
    )
    assert not ring.is_full


@pytest.mark.parametrize("size", [4, 5, 6, 12])
def test_holds_the_last_features_whatever_the_batch(size):
    """Against a plain list, with batches that do and do not divide the queue."""
    ring = queue(size)
    history: list[Tensor] = []
    for step, count in enumerate([4, 4, 1, 3, 4, 2, 4]):
        batch = features(count, step)
        ring.enqueue(batch)
        history += list(F.normalize(batch, dim=1))
        kept = history[-size:]
        assert ring.is_full == (len(history) >= size)
        for row in kept:
            assert (ring.features == row).all(1).sum() == 1


def test_rows_written_wrap_around_and_hold_the_normalised_features():
    ring = queue(5)
    assert ring.enqueue(features(3, 0)).tolist() == [0, 1, 2]
    batch = features(4, 1)
    rows = ring.enqueue(batch)
    assert rows.tolist() == [3, 4, 0, 1]
    torch.testing.assert_close(ring.features[rows], F.normalize(batch, dim=1))


def test_a_batch_larger_than_the_queue_is_refused():
    with pytest.raises(ValueError, match="4 features do not fit into a queue of 3"):
        queue(3).enqueue(features(4, 0))


def test_no_gradient_passes_and_a_read_copy_survives_the_next_enqueue():
    ring = queue(4)
    query = features(2, 0).requires_grad_()
    read = ring.read()
    loss = (query @ read.T).sum()
    ring.enqueue(query)
    loss.backward()
    torch.testing.assert_close(query.grad, read.sum(0).expand(2, 3))
    assert not ring.features.requires_grad


def test_a_restored_queue_goes_on_where_the_old_one_stopped():
    old, new = queue(5), FeatureQueue(5, 3)
    old.enqueue(features(3, 0))
    new.load_state_dict(old.state_dict())
    for ring in (old, new):
        ring.enqueue(features(4, 1))
    assert torch.equal(old.features, new.features)
    assert torch.equal(old.enqueued, new.enqueued)
