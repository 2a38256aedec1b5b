"""MetAug on NNCLR: pairs and objective against loops, the second-order step against autograd."""

import copy
import math

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from baselines.metaug_nnclr import pair_similarities
from metaug.errors import UserError
from metaug.losses import margin_regularization
from metaug.meta import frozen_running_statistics


def unit(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(shape or (5, 16), generator=generator, dtype=torch.float64))


def test_pairs_join_a_neighbour_and_predictions_of_the_other_crop():
    n1, n2, p1, p2 = (unit(seed) for seed in range(4))
    positives, negatives = pair_similarities((n1, n2), (p1, p2))
    assert positives.shape == (5, 2)
    assert negatives.shape == (5, 8)
    for b in range(5):
        pairs = ((n1, p2), (n2, p1))
        own = [(1 + float(n[b] @ p[b])) / 2 for n, p in pairs]
        others = [(1 + float(n[b] @ p[c])) / 2 for n, p in pairs for c in range(5) if c != b]
        assert positives[b].tolist() == pytest.approx(own, abs=1e-8)
        assert negatives[b].tolist() == pytest.approx(others, abs=1e-8)


def naive_oucl(positives, negatives, beta, gamma):
    """Eq. 10 as a double sum, mean over images."""
    terms = []
    for own, others in zip(positives.tolist(), negatives.tolist(), strict=True):
        total = sum(
            math.exp(beta * ((p - 1) ** 2 + n**2 - 2 * gamma**2)) for p in own for n in others
        )
        terms.append(math.log(1 + total) / beta)
    return sum(terms) / len(terms)


def test_the_objective_equals_its_terms(make_spec, ready):
    changes = {"delta": 0.3, "alpha": 0.2, "beta": 4.0, "gamma": 0.4}
    method = ready(make_spec("metaug_nnclr", **changes)).double().eval()
    neighbours, predictions = (unit(0), unit(1)), (unit(2), unit(3))
    with torch.no_grad():
        ours = method.objective(predictions, neighbours, regularised=True)
        plain = method.objective(predictions, neighbours, regularised=False)
        augmented = method.mag(predictions[0]), method.mag(predictions[1])
    pos, neg = pair_similarities(neighbours, predictions)
    hard_pos, hard_neg = pair_similarities(neighbours, augmented)
    pooled = torch.cat([pos, hard_pos], 1), torch.cat([neg, hard_neg], 1)
    expected = naive_oucl(pos, neg, 4.0, 0.4) + 0.3 * naive_oucl(*pooled, 4.0, 0.4)
    assert float(plain) == pytest.approx(expected, abs=1e-8)
    low, high = sorted([float(pos.min()), float(neg.max())])
    regularization = margin_regularization(hard_pos, hard_neg, low, high)
    assert float(ours) == pytest.approx(expected + 0.2 * float(regularization), abs=1e-8)


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_first_pass_trains_the_network_and_the_second_the_mag(make_spec, make_batch, ready):
    method = ready(make_spec("metaug_nnclr", delta=1.0))
    mag, network = snapshot(method.mag), snapshot(method.network)
    method.update(make_batch(method, pass_index=0))
    assert same(method.mag, mag)
    assert not same(method.network, network)

    network, queue = snapshot(method.network), snapshot(method.queue)
    logs = method.update(make_batch(method, pass_index=1))
    assert not same(method.mag, mag)
    assert same(method.network, network)
    assert same(method.queue, queue)
    assert logs["mag_weight_change"] > 0
    assert logs["mag_output_cosine"] < 1


def test_the_first_pass_enqueues_its_batch_after_the_search(make_spec, make_batch, ready):
    method = ready(make_spec("metaug_nnclr"))
    for count, pass_index in ((8, 0), (8, 1), (16, 0)):
        method.update(make_batch(method, pass_index=pass_index))
        assert int(method.queue.enqueued) == count


def test_the_step_of_the_mag_is_the_second_order_one(make_spec, make_batch, ready):
    """Against one graph through the look-ahead, built by autograd."""
    rate = 0.5
    spec = make_spec("metaug_nnclr", delta=1.0, alpha=0.1, learning_rate=rate)
    method = ready(spec)
    method.optimizers["mag"] = torch.optim.SGD(method.mag.parameters(), 0.03)
    batch = make_batch(method, pass_index=1)
    naive = copy.deepcopy(method)

    with frozen_running_statistics(naive):
        p1, p2, z1, z2 = naive(batch.crops)
        neighbours, _ = naive.search(z1, z2, batch.labels)
        parameters = naive.network_parameters()
        loss = naive.objective((p1, p2), neighbours, regularised=False)
        gradient = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        ahead = {
            name: p - rate * g for (name, p), g in zip(parameters.items(), gradient, strict=True)
        }
        q1, q2, *_ = functional_call(naive, ahead, (batch.crops,))
        outer = naive.objective((q1, q2), neighbours, regularised=True)
        expected = torch.autograd.grad(outer, list(naive.mag.parameters()))

    before = [p.clone() for p in method.mag.parameters()]
    logs = method.update(batch)
    assert float(logs["meta_loss"]) == pytest.approx(float(outer.detach()), rel=1e-5)
    for old, new, slope in zip(before, method.mag.parameters(), expected, strict=True):
        torch.testing.assert_close((old - new) / 0.03, slope, rtol=1e-2, atol=1e-5)


def test_without_augmented_features_the_mag_gets_no_gradient(make_spec, make_batch, ready):
    method = ready(make_spec("metaug_nnclr", delta=0.0, alpha=0.0))
    before = [p.clone() for p in method.mag.parameters()]
    method.update(make_batch(method, pass_index=1))
    assert all(torch.equal(a, b) for a, b in zip(before, method.mag.parameters(), strict=True))


def test_the_loss_of_a_repeated_batch_falls_without_collapse(make_spec, make_batch, ready):
    method = ready(make_spec("metaug_nnclr"))
    batch = make_batch(method)
    losses = [float(method.update(batch)["loss"]) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])
    with torch.no_grad():
        *_, z1, _ = method(batch.crops)
    # of an isotropic cloud in 16 dimensions it would be 1 / 4
    assert F.normalize(z1, dim=1).std(0).mean() > 0.1


def test_nnclrs_temperature_is_not_one_of_its_keys(make_spec):
    with pytest.raises(UserError, match="temperature"):
        make_spec("metaug_nnclr", temperature=0.1)


def test_what_nnclr_refuses_is_refused(make_spec):
    with pytest.raises(UserError, match="queue_size 20 is not a multiple"):
        make_spec("metaug_nnclr", queue_size=20)


def test_nobody_published_a_recipe_of_it(make_spec):
    with pytest.raises(UserError, match="metaug_nnclr has no preset 'own'"):
        make_spec("metaug_nnclr", "resnet18", preset="own")
