"""NNCLR's loss against a naive formula, InfoNCE and lightly; the order of search and queue."""

import dataclasses
import math

import lightly.loss
import lightly.models.modules
import pytest
import torch
from torch.nn import functional as F

import baselines.nnclr
from baselines.nnclr import nearest_neighbours, nnclr_loss
from metaug.errors import UserError


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def one_direction(anchors, predictions, temperature):
    """InfoNCE of anchors against predictions of the batch, in loops."""
    total = 0.0
    for b, anchor in enumerate(anchors):
        exponents = [math.exp(cosine(anchor, p) / temperature) for p in predictions]
        total -= math.log(exponents[b] / sum(exponents)) / len(anchors)
    return total


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equals_the_naive_formula(temperature):
    nn1, nn2, p1, p2 = (embeddings(6, 5, seed=s) for s in range(4))
    naive = (one_direction(nn1, p2, temperature) + one_direction(nn2, p1, temperature)) / 2
    assert float(nnclr_loss(nn1, nn2, p1, p2, temperature)) == pytest.approx(naive, abs=1e-8)


def test_with_own_projections_as_neighbours_it_is_info_nce_with_a_predictor():
    z1, z2 = embeddings(6, 5), embeddings(6, 5, seed=1)
    p1, p2 = z1.flip(1), z2.flip(1)
    targets = torch.arange(6)
    logits = [F.normalize(z) @ F.normalize(p).T / 0.1 for z, p in ((z1, p2), (z2, p1))]
    expected = sum(F.cross_entropy(each, targets) for each in logits) / 2
    assert float(nnclr_loss(z1, z2, p1, p2, 0.1)) == pytest.approx(float(expected), abs=1e-9)


def test_lightly_has_the_same_positives_and_more_negatives():
    """lightly feeds neighbours and predictions to NT-Xent: each anchor, a neighbour or a
    prediction, meets those of all other images and of both kinds."""
    n, p = embeddings(6, 5), embeddings(6, 5, seed=1)
    ours = nnclr_loss(n, n, p, p, 0.5)
    theirs = lightly.loss.NTXentLoss(temperature=0.5)(n, p)
    terms = []
    for own, other in ((n, p), (p, n)):
        for b in range(6):
            positive = math.exp(cosine(own[b], other[b]) / 0.5)
            negatives = [
                math.exp(cosine(own[b], kind[c]) / 0.5)
                for kind in (own, other)
                for c in range(6)
                if c != b
            ]
            terms.append(-math.log(positive / (positive + sum(negatives))))
    assert float(theirs) == pytest.approx(sum(terms) / 12, abs=1e-6)
    assert float(theirs) > float(ours)


def test_neighbours_agree_with_lightly_and_with_a_search():
    """Same search; lightly's recipe enqueues the second crop's projections, ours the first's."""
    support = F.normalize(embeddings(16, 5, seed=2), dim=1)
    z = embeddings(7, 5)
    rows = nearest_neighbours(z, support)
    searched = [max(range(16), key=lambda u, z=row: cosine(z, support[u])) for row in z]
    assert rows.tolist() == searched
    bank = lightly.models.modules.NNMemoryBankModule(size=(16, 5))
    bank.bank = support
    torch.testing.assert_close(bank(z, update=False), support[rows])


def test_gradient_flows_through_the_predictions_alone():
    tensors = [embeddings(5, 4, seed=s).requires_grad_() for s in range(4)]
    nnclr_loss(*tensors, 0.1).backward()
    assert all(n.grad is None for n in tensors[:2])
    assert all(p.grad.abs().sum() > 0 for p in tensors[2:])


def test_the_method_predicts_the_neighbour_of_the_other_crop(make_spec, make_batch, ready):
    method = ready(make_spec("nnclr", temperature=0.3))
    batch, support = make_batch(method), method.queue.read()
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        z1, z2 = (method.projector(method.encode(crop)) for crop in batch.crops)
        p1, p2 = method.predictor(z1), method.predictor(z2)
    nn1, nn2 = (support[nearest_neighbours(z, support)] for z in (z1, z2))
    torch.testing.assert_close(loss.detach(), nnclr_loss(nn1, nn2, p1, p2, 0.3))


def test_neighbours_are_searched_before_the_batch_is_enqueued(
    make_spec, make_batch, ready, monkeypatch
):
    seen = {}

    def spy(nn1, nn2, p1, p2, temperature):
        seen.update(nn1=nn1, nn2=nn2)
        return nnclr_loss(nn1, nn2, p1, p2, temperature)

    monkeypatch.setattr(baselines.nnclr, "nnclr_loss", spy)
    method = ready(make_spec("nnclr"))
    before = method.queue.read()
    method.update(make_batch(method))
    assert not torch.equal(method.queue.features, before)
    for neighbours in seen.values():
        assert not neighbours.requires_grad
        for row in neighbours:
            assert (before == row).all(1).any()


def test_the_first_crops_projections_are_enqueued(make_spec, make_batch, ready):
    method = ready(make_spec("nnclr"))
    batch = make_batch(method)
    with torch.no_grad():
        z1 = method.projector(method.encode(batch.crops[0]))
    method.update(batch)
    torch.testing.assert_close(
        method.queue.features[:8], F.normalize(z1, dim=1), rtol=1e-4, atol=1e-5
    )


def test_the_share_of_neighbours_with_the_same_label_is_watched(make_spec, ready):
    method = ready(make_spec("nnclr", queue_size=8, batch_size=8))
    axes = torch.eye(16)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    _, agreement = method.search(axes[:8], axes[:8], labels)
    assert float(agreement) == 0
    method.enqueue(axes[:8], labels)
    # 6 of 8 neighbours are what was enqueued, with its label; two labels have changed
    changed = torch.tensor([0, 0, 1, 1, 2, 2, 0, 0])
    (neighbours, _), agreement = method.search(axes[:8], axes[:8], changed)
    torch.testing.assert_close(neighbours, axes[:8])
    assert float(agreement) == 0.75


def test_labels_do_not_change_the_training(make_spec, make_batch, ready):
    results = []
    for shift in (0, 1):
        method = ready(make_spec("nnclr"))
        batch = make_batch(method)
        method.update(dataclasses.replace(batch, labels=(batch.labels + shift) % 4))
        results.append([p.detach() for p in method.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue_size": 20}, "queue_size 20 is not a multiple of batch_size 8"),
        ({"views": ["l", "ab"]}, "give it one view"),
    ],
)
def test_contradictory_specs_are_refused(make_spec, changes, message):
    with pytest.raises(UserError, match=message):
        make_spec("nnclr", **changes)


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("nnclr", "resnet18", preset="own")
    assert (spec.hyper["temperature"], spec.hyper["projector_layers"]) == (0.5, 2)
