"""InfoNCE against a naive formula and lightly; MoCo's traps in the order of a step."""

import copy
import math

import lightly.loss
import pytest
import torch

import baselines.moco
from baselines.moco import encode_in_splits, info_nce_loss
from metaug.errors import UserError


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_equals_the_naive_formula(temperature):
    query, key, queue = embeddings(5, 4), embeddings(5, 4, seed=1), embeddings(7, 4, seed=2)
    terms = []
    for q, k in zip(query, key, strict=True):
        positive = math.exp(cosine(q, k) / temperature)
        negative = sum(math.exp(cosine(q, u) / temperature) for u in queue)
        terms.append(-math.log(positive / (positive + negative)))
    ours = info_nce_loss(query, key, queue, temperature)
    assert float(ours) == pytest.approx(sum(terms) / 5, abs=1e-8)


def test_a_queue_orthogonal_to_matching_pairs_gives_the_known_value():
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    queue = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64).repeat(2048, 1)
    loss = float(info_nce_loss(query, query, queue, 0.1))
    assert loss == pytest.approx(math.log(1 + 4096 * math.exp(-10)), abs=1e-9)
    assert loss == pytest.approx(0.170551, abs=1e-6)


def test_equal_similarities_give_the_logarithm_of_one_plus_the_queue():
    ones = torch.ones(3, 4, dtype=torch.float64)
    assert float(info_nce_loss(ones, ones, torch.ones(9, 4).double(), 0.2)) == pytest.approx(
        math.log(10), abs=1e-9
    )


def test_agrees_with_lightly():
    """Same convention, but that lightly also enqueues inside the loss, after the logits."""
    query, key, queue = (
        t.float() for t in (embeddings(6, 8), embeddings(6, 8, seed=1), embeddings(16, 8, seed=2))
    )
    criterion = lightly.loss.NTXentLoss(temperature=0.1, memory_bank_size=(16, 8))
    criterion.memory_bank.bank = torch.nn.functional.normalize(queue, dim=1)
    torch.testing.assert_close(info_nce_loss(query, key, queue, 0.1), criterion(query, key))


def test_gradient_flows_through_the_queries_alone():
    tensors = [embeddings(4, 3, seed=s).requires_grad_() for s in range(3)]
    info_nce_loss(*tensors, 0.2).backward()
    assert tensors[0].grad.abs().sum() > 0
    assert tensors[1].grad is None
    assert tensors[2].grad is None


def test_keys_see_the_statistics_of_their_batch(make_spec, make_batch, ready):
    """In eval mode a key would not depend on the other images."""
    method = ready(make_spec("moco"))
    assert all(module.training for module in method.key_network.modules())
    batch = make_batch(method)
    before = method.keys(batch)
    batch.crops[1][1:] = 1 - batch.crops[1][1:]
    assert not torch.allclose(method.keys(batch)[0], before[0], atol=1e-3)


def test_the_key_network_moves_before_the_keys_and_before_the_step(make_spec, make_batch, ready):
    """With momentum 0 the keys are those of the query network as it was before the step."""
    method = ready(make_spec("moco", momentum_start=0.0, bn_splits=1))
    with torch.no_grad():
        for parameter in method.query_network.parameters():
            parameter += 0.05 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
            )
    batch = make_batch(method)
    before = copy.deepcopy(method.query_network)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(method.embed(before, batch.crops[1]), dim=1)
    before = list(copy.deepcopy(method.query_network).parameters())
    method.update(batch)
    torch.testing.assert_close(method.queue.features[:8], expected, rtol=1e-4, atol=1e-5)
    for key, old in zip(method.key_network.parameters(), before, strict=True):
        assert torch.equal(key, old)
    assert not torch.equal(next(method.query_network.parameters()), before[0])


def test_the_key_network_keeps_its_own_running_statistics(make_spec, make_batch, ready):
    """They follow the keys' batches alone, although the queries' have other statistics."""
    method = ready(make_spec("moco", momentum_start=0.0, bn_splits=1))
    batch = make_batch(method)
    batch.crops[1].mul_(0.5)
    expected = copy.deepcopy(method.key_network)
    with torch.no_grad():
        for key, query in zip(
            expected.parameters(), method.query_network.parameters(), strict=True
        ):
            key.copy_(query)
        method.embed(expected, batch.crops[1])
    method.update(batch)
    for own, after in zip(method.key_network.buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(own, after, rtol=1e-4, atol=1e-5)


def test_keys_are_enqueued_after_the_logits(make_spec, make_batch, ready, monkeypatch):
    seen = {}

    def spy(query, key, queue, temperature):
        seen.update(key=key.clone(), queue=queue.clone())
        return info_nce_loss(query, key, queue, temperature)

    monkeypatch.setattr(baselines.moco, "info_nce_loss", spy)
    method = ready(make_spec("moco"))
    before = method.queue.read()
    method.update(make_batch(method))
    assert torch.equal(seen["queue"], before)
    keys = torch.nn.functional.normalize(seen["key"], dim=1)
    torch.testing.assert_close(method.queue.features[:8], keys)
    assert torch.equal(method.queue.features[8:], before[8:])


def test_the_key_network_is_not_optimised(make_spec, make_batch, ready):
    method = ready(make_spec("moco"))
    optimised = {
        id(p) for group in method.optimizers["encoder"].param_groups for p in group["params"]
    }
    assert optimised == {id(p) for p in method.query_network.parameters()}


def test_the_method_contrasts_first_crops_with_keys_of_second_crops(make_spec, make_batch, ready):
    method = ready(make_spec("moco", momentum_start=1.0, temperature=0.3, bn_splits=1))
    batch, queue = make_batch(method), method.queue.read()
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        query = method.embed(method.query_network, batch.crops[0])
        key = method.embed(method.key_network, batch.crops[1])
    torch.testing.assert_close(
        loss.detach(), info_nce_loss(query, key, queue, 0.3), rtol=1e-4, atol=1e-5
    )


def test_parts_of_a_batch_are_embedded_with_statistics_of_their_own(make_spec, make_batch, ready):
    split, whole = (ready(make_spec("moco", bn_splits=splits)) for splits in (2, 1))
    images = make_batch(split).crops[0]
    with torch.no_grad():
        embedded = split.embed(split.query_network, images)
        halves = [whole.embed(whole.query_network, half) for half in images.split(4)]
        together = whole.embed(whole.query_network, images)
    torch.testing.assert_close(embedded, torch.cat(halves))
    assert not torch.allclose(embedded, together, atol=1e-3)


def test_keys_share_their_statistics_with_a_random_part_of_the_batch(make_spec, make_batch, ready):
    """Unshuffled, a key and its query would be normalised beside the same images."""
    method = ready(make_spec("moco", bn_splits=2))
    batch = make_batch(method)
    order = torch.randperm(8, generator=batch.draws("shuffle"))
    keys = method.keys(batch)
    with torch.no_grad():
        unshuffled = method.embed(method.key_network, batch.crops[1])
        shuffled = method.embed(method.key_network, batch.crops[1][order])
    torch.testing.assert_close(keys[order], shuffled)
    assert not torch.allclose(keys, unshuffled, atol=1e-3)


def test_keys_encoded_in_a_drawn_order_are_put_back_in_place(make_spec, make_batch, ready):
    method = ready(make_spec("moco", bn_splits=2)).eval()
    batch = make_batch(method)
    with torch.no_grad():
        expected = method.embed(method.key_network, batch.crops[1])
    torch.testing.assert_close(method.keys(batch), expected)


def test_each_part_of_a_batch_has_batch_statistics_of_its_own():
    norm = torch.nn.BatchNorm1d(3, affine=False)
    images = embeddings(8, 3).float()
    encoded = encode_in_splits(norm, images, 2)
    for part, result in zip(images.chunk(2), encoded.chunk(2), strict=True):
        torch.testing.assert_close(
            result, (part - part.mean(0)) / (part.var(0, correction=0) + 1e-5).sqrt()
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue_size": 20}, "queue_size 20 is not a multiple of batch_size 8"),
        ({"queue_size": 4}, "queue_size 4 is not a multiple of batch_size 8"),
        ({"bn_splits": 3}, "bn_splits 3 does not split a batch of 8"),
        ({"bn_splits": 8}, "parts of at least 2"),
        ({"views": ["l", "ab"]}, "give it one view"),
    ],
)
def test_contradictory_specs_are_refused(make_spec, changes, message):
    with pytest.raises(UserError, match=message):
        make_spec("moco", **changes)


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("moco", "resnet18", preset="own")
    assert (spec.learning_rate, spec.batch_size, spec.hyper["temperature"]) == (0.06, 128, 0.1)
