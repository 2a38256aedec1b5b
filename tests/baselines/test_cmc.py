import math
from itertools import permutations

import pytest
import torch
from torch.nn import functional as F

from baselines.cmc import cmc_loss
from metaug.errors import UserError
from metaug.losses import contrastive_loss


def embeddings(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def unit(row):
    return row / row.norm()


def naive_loss(anchor, positive, negatives, temperature):
    """Image by image: -log of the positive's share; negatives (N, K, D)."""
    total = 0.0
    for a, p, rows in zip(anchor, positive, negatives, strict=True):
        own = math.exp(float(unit(a) @ unit(p)) / temperature)
        others = sum(math.exp(float(unit(a) @ unit(row)) / temperature) for row in rows)
        total -= math.log(own / (own + others))
    return total / len(anchor)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_loss_equals_a_naive_loop(temperature):
    anchor, positive = embeddings(5, 6), embeddings(5, 6, seed=1)
    negatives = embeddings(5, 9, 6, seed=2)
    expected = naive_loss(anchor, positive, negatives, temperature)
    value = cmc_loss(anchor, positive, negatives, temperature).item()
    assert value == pytest.approx(expected, rel=1e-8)


def test_negatives_shared_by_the_batch_are_those_of_every_image():
    anchor, positive = embeddings(5, 6), embeddings(5, 6, seed=1)
    shared = embeddings(9, 6, seed=2)
    torch.testing.assert_close(
        cmc_loss(anchor, positive, shared, 0.07),
        cmc_loss(anchor, positive, shared.expand(5, 9, 6), 0.07),
    )


@pytest.mark.parametrize("negatives", [1, 50])
def test_equal_scores_give_the_log_of_the_candidates_in_each_direction(negatives):
    z, rows = torch.ones(3, 4, dtype=torch.float64), torch.ones(negatives, 4, dtype=torch.float64)
    both = cmc_loss(z, z, rows, 0.07) + cmc_loss(z, z, rows, 0.07)
    assert both.item() == pytest.approx(2 * math.log(negatives + 1))


def test_random_embeddings_start_at_the_expected_value():
    """About 9.0 for K = 4096 and T = 0.07: cosines of variance 1/128, so ln K + 1 / (256 T^2)."""
    z = [embeddings(2048, 128, seed=seed) for seed in (0, 1)]
    value = cmc_loss(*z, embeddings(4096, 128, seed=2), 0.07).item()
    assert value == pytest.approx(math.log(4097) + 1 / (256 * 0.07**2), abs=0.1)
    assert value == pytest.approx(9.0, abs=0.25)


def test_lengths_of_embeddings_do_not_matter():
    anchor, positive, rows = embeddings(5, 6), embeddings(5, 6, seed=1), embeddings(9, 6, seed=2)
    torch.testing.assert_close(
        cmc_loss(2 * anchor, 0.1 * positive, 7 * rows, 0.07), cmc_loss(anchor, positive, rows, 0.07)
    )


def test_the_method_sums_all_directions_and_then_updates_the_bank(make_spec, ready, make_batch):
    method = ready(make_spec("cmc"))
    batch = make_batch(method)
    views = batch.views(method.spec.views)
    bank = {v: method.bank.get_buffer(v).clone() for v in method.spec.views}
    drawn = method.bank.draw(16, batch.draws("negatives"))
    with torch.no_grad():
        features = {
            v: F.normalize(method.projectors[v](method.encoders[v](x)), dim=1)
            for v, x in views.items()
        }
    # bank rows enter as they are, of any length
    expected = sum(
        contrastive_loss(
            (features[a] * bank[t][batch.index]).sum(1), features[a] @ bank[t][drawn].T, 0.07
        )
        for a, t in permutations(method.spec.views, 2)
    )
    loss, _ = method.training_step(batch)
    torch.testing.assert_close(loss.detach(), expected)
    for v, z in features.items():
        new = F.normalize((bank[v][batch.index] + F.normalize(z, dim=1)) / 2, dim=1)
        torch.testing.assert_close(method.bank.get_buffer(v)[batch.index], new)


def test_two_views_are_cmcs_own(make_spec, ready, make_batch):
    method = ready(make_spec("cmc", views=("l", "ab")))
    assert set(method.encoders) == {"l", "ab"}
    assert math.isfinite(float(method.update(make_batch(method))["loss"]))


@pytest.mark.parametrize("name", ["cmc", "cmc_debiased", "cmc_hard"])
def test_its_own_recipe_is_a_valid_spec(make_spec, name):
    spec = make_spec(name, "resnet50", preset="own")
    assert (spec.views, spec.augmentation) == (("l", "ab"), ("cmc",))
    assert (spec.batch_size, spec.learning_rate, spec.hyper["negatives"]) == (128, 0.03, 16384)


def test_one_view_is_refused(make_spec):
    with pytest.raises(UserError, match="cmc contrasts views: give it at least two"):
        make_spec("cmc", views=("rgb",))
