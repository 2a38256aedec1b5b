import math

import pytest
import torch
from torch.nn import functional as F

from metaug.memory_bank import MemoryBank


def bank_of(rows=50, dim=8, momentum=0.5, views=("l", "ab"), seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MemoryBank(views, rows, dim, momentum)


def unit_rows(n, dim=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator), dim=1)


def test_rows_start_uniform_with_mean_length_about_one():
    bank = bank_of(rows=4000, dim=128)
    bound = math.sqrt(3 / 128)
    for view in ("l", "ab"):
        rows = bank.read(view, torch.arange(4000))
        assert rows.abs().max() <= bound
        assert rows.abs().mean() == pytest.approx(bound / 2, rel=0.01)
        assert rows.norm(dim=1).mean() == pytest.approx(1, abs=0.01)
    assert not torch.equal(bank.l, bank.ab)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5, 1.0])
def test_an_update_is_the_normalised_running_mean_of_a_naive_loop(momentum):
    bank = bank_of(momentum=momentum)
    index, features = torch.tensor([3, 41, 7]), unit_rows(3)
    expected = bank.l.double()
    for row, z in zip(index.tolist(), features.double(), strict=True):
        blend = momentum * expected[row] + (1 - momentum) * z
        expected[row] = blend / blend.norm()
    bank.update("l", index, features)
    torch.testing.assert_close(bank.l.double(), expected, rtol=1e-6, atol=1e-6)


def test_momentum_zero_stores_the_current_features():
    bank, features = bank_of(momentum=0.0), unit_rows(5)
    bank.update("ab", torch.arange(5), features)
    torch.testing.assert_close(bank.read("ab", torch.arange(5)), features)


def test_momentum_one_keeps_the_direction():
    bank = bank_of(momentum=1.0)
    before = bank.l.clone()
    bank.update("l", torch.arange(5), unit_rows(5))
    torch.testing.assert_close(bank.l[:5], F.normalize(before[:5], dim=1))


def test_an_update_touches_only_its_rows_and_its_view():
    bank = bank_of()
    before = {view: bank.get_buffer(view).clone() for view in ("l", "ab")}
    bank.update("l", torch.tensor([10, 20]), unit_rows(2))
    changed = (bank.l != before["l"]).any(1).nonzero().flatten()
    assert changed.tolist() == [10, 20]
    assert torch.equal(bank.ab, before["ab"])


def test_what_was_read_is_not_changed_by_a_later_update():
    bank = bank_of()
    read = bank.read("l", torch.arange(5))
    before = read.clone()
    bank.update("l", torch.arange(5), unit_rows(5))
    assert torch.equal(read, before)


def test_no_gradient_flows_into_the_bank():
    bank, features = bank_of(), unit_rows(2).requires_grad_()
    bank.update("l", torch.arange(2), features)
    assert not bank.l.requires_grad
    assert not bank.read("l", torch.arange(2)).requires_grad


def test_draws_are_uniform_with_replacement():
    draws = bank_of(rows=50).draw(100_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(draws, minlength=50).double()
    assert len(counts) == 50
    chi_square = ((counts - 2000).square() / 2000).sum().item()
    assert chi_square < 86  # the 99.9 % quantile at 49 degrees of freedom


def test_a_draw_may_exceed_the_rows():
    assert len(bank_of(rows=5).draw(64, torch.Generator().manual_seed(0))) == 64


def test_equal_generators_draw_equal_negatives():
    bank = bank_of()
    first, again, other = (bank.draw(32, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_all_state_is_in_the_state_dict():
    bank, other = bank_of(seed=0), bank_of(seed=1)
    other.load_state_dict(bank.state_dict())
    assert set(bank.state_dict()) == {"l", "ab"}
    assert torch.equal(other.l, bank.l)
    assert not list(bank.parameters())
