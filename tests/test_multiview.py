"""OUCL on embeddings of views against the pairs of a loop."""

from itertools import permutations

import pytest
import torch
from torch.nn import functional as F

from metaug.algorithm.pairs import Rows, draw_rows, off_diagonal
from metaug.losses import oucl_loss, similarity
from metaug.memory_bank import MemoryBank
from metaug.multiview import OUCL, oucl


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_loops(views, own, negatives, beta=16.0, gamma=0.4):
    """OUCL of gathered similarities. Of each view: embeddings, own rows, rows of image i."""
    views = [F.normalize(z, dim=1) for z in views]
    positives, others = [], []
    for i in range(len(views[0])):
        pairs = list(permutations(range(len(views)), 2))
        positives.append(torch.stack([similarity(views[a][i] @ own[t][i]) for a, t in pairs]))
        found = [similarity(views[a][i] @ row) for a, t in pairs for row in negatives(t, i)]
        others.append(torch.stack(found))
    return oucl_loss(torch.stack(positives), torch.stack(others), beta=beta, gamma=gamma)


@pytest.mark.parametrize("count", [2, 3])
def test_without_rows_the_other_images_of_the_batch_are_the_negatives(count):
    views = list(random(count, 6, 5))
    unit = [F.normalize(z, dim=1) for z in views]
    expected = by_loops(views, unit, lambda t, i: [z for j, z in enumerate(unit[t]) if j != i])
    torch.testing.assert_close(oucl(views), expected, rtol=1e-12, atol=0)


def test_rows_of_a_bank_are_positives_and_negatives_without_gradient():
    bank = MemoryBank(("left", "right"), 50, 5, 0.5).double()
    views, index = list(random(2, 6, 5)), torch.arange(10, 16)
    rows = draw_rows(bank, index, 20, torch.Generator().manual_seed(3))
    drawn = torch.randint(50, (20,), generator=torch.Generator().manual_seed(3))
    banks = bank.left, bank.right
    expected = by_loops(views, [b[index] for b in banks], lambda t, i: banks[t][drawn])
    leaves = [z.requires_grad_() for z in views]
    loss = oucl(leaves, rows, beta=16.0, gamma=0.4)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert all((g != 0).any() for g in torch.autograd.grad(loss, leaves))


def test_rows_may_be_drawn_for_each_image():
    bank = MemoryBank(("left", "right"), 50, 5, 0.5).double()
    views, index = list(random(2, 6, 5)), torch.arange(6)
    rows = draw_rows(bank, index, 20, torch.Generator().manual_seed(3), each_image=True)
    drawn = torch.randint(50, (120,), generator=torch.Generator().manual_seed(3)).view(6, 20)
    banks = bank.left, bank.right
    expected = by_loops(views, [b[index] for b in banks], lambda t, i: banks[t][drawn[i]])
    torch.testing.assert_close(oucl(views, rows), expected, rtol=1e-12, atol=0)


def test_without_a_source_rows_come_from_the_global_random_state():
    bank = MemoryBank(("left", "right"), 50, 5, 0.5)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        first = draw_rows(bank, torch.arange(6), 20)
        torch.manual_seed(7)
        again = draw_rows(bank, torch.arange(6), 20)
    assert torch.equal(first.negatives["left"], again.negatives["left"])


def test_the_length_of_an_embedding_is_of_no_account():
    views = list(random(2, 6, 5))
    torch.testing.assert_close(oucl([3 * views[0], 0.1 * views[1]]), oucl(views))


def test_the_module_is_the_function_and_shows_its_settings():
    views, module = list(random(2, 6, 5)), OUCL(beta=4.0, gamma=0.1)
    assert torch.equal(module(views), oucl(views, beta=4.0, gamma=0.1))
    assert not list(module.parameters())
    assert str(module) == "OUCL(beta=4.0, gamma=0.1)"


@pytest.mark.parametrize(
    "views, rows, message",
    [
        ([random(6, 5)], None, "two or more views"),
        ([random(6, 5), random(6, 4)], None, r"not \[\(6, 5\), \(6, 4\)\]"),
        ([random(6, 5, 1), random(6, 5, 1)], None, r"embeddings \(N, D\)"),
        ([random(1, 5), random(1, 5)], None, "one image has no negatives"),
        ([random(6, 5)] * 2, Rows({"a": random(6, 5)}), "2 views, but rows of 1: a"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(views, rows, message):
    with pytest.raises(ValueError, match=message):
        oucl(views, rows)


@pytest.mark.parametrize("beta, gamma", [(0.0, 0.4), (-1.0, 0.4), (16.0, -0.1)])
def test_settings_outside_their_range_are_refused(beta, gamma):
    with pytest.raises(ValueError, match="beta > 0 and gamma >= 0"):
        OUCL(beta, gamma)


def test_off_diagonal_leaves_out_the_own_image():
    assert off_diagonal(torch.arange(9).view(3, 3)).tolist() == [[1, 2], [3, 5], [6, 7]]
