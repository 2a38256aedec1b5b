"""Sinkhorn and SwAV's loss against naive formulas and lightly; prototypes and queues in a step."""

import dataclasses
import math

import lightly.loss
import lightly.loss.swav_loss
import pytest
import torch

import baselines.swav
from baselines.swav import sinkhorn, swav_loss
from metaug.errors import UserError


def cosines(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1


def naive_sinkhorn(scores, epsilon, iterations):
    """The published steps on a P x N matrix, in loops."""
    n, p = scores.shape
    q = [[math.exp(float(scores[b, k]) / epsilon) for b in range(n)] for k in range(p)]
    total = sum(map(sum, q))
    q = [[value / total for value in row] for row in q]
    for _ in range(iterations):
        q = [[value / (sum(row) * p) for value in row] for row in q]
        columns = [sum(row[b] for row in q) for b in range(n)]
        q = [[value / (columns[b] * n) for b, value in enumerate(row)] for row in q]
    return torch.tensor([[q[k][b] * n for k in range(p)] for b in range(n)], dtype=torch.float64)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("shape", [(6, 4), (4, 9)])
def test_sinkhorn_equals_the_naive_steps(shape, iterations):
    scores = cosines(*shape)
    torch.testing.assert_close(
        sinkhorn(scores, 0.05, iterations),
        naive_sinkhorn(scores, 0.05, iterations),
        rtol=0,
        atol=1e-8,
    )


def test_sinkhorn_agrees_with_lightly():
    """The same, but for the order of the arguments."""
    scores = cosines(16, 10)
    theirs = lightly.loss.swav_loss.sinkhorn(scores, iterations=3, epsilon=0.05)
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), theirs, rtol=0, atol=1e-9)


def test_every_sample_is_assigned_and_every_prototype_used_equally():
    assignments = sinkhorn(cosines(12, 5), 0.05, 200)
    torch.testing.assert_close(assignments.sum(1), torch.ones(12).double())
    torch.testing.assert_close(assignments.sum(0), torch.full((5,), 12 / 5).double())


def test_equal_scores_are_assigned_uniformly():
    torch.testing.assert_close(sinkhorn(torch.zeros(6, 4), 0.05, 3), torch.full((6, 4), 0.25))


def test_a_small_epsilon_neither_overflows_nor_underflows():
    assignments = sinkhorn(cosines(8, 6).float(), 1e-4, 3)
    assert assignments.isfinite().all()
    torch.testing.assert_close(assignments.sum(1), torch.ones(8))


def test_the_loss_equals_the_naive_formula():
    """Three crops, two of them assigned."""
    scores = [cosines(5, 4, seed=s) for s in range(3)]
    assignments = [sinkhorn(scores[a], 0.05, 3) for a in range(2)]
    total = 0.0
    for a in range(2):
        for v in range(3):
            if v == a:
                continue
            for b in range(5):
                exponents = [math.exp(float(scores[v][b, k]) / 0.1) for k in range(4)]
                for k in range(4):
                    share = exponents[k] / sum(exponents)
                    total -= float(assignments[a][b, k]) * math.log(share) / (5 * 2 * 2)
    assert float(swav_loss(scores, assignments, 0.1)) == pytest.approx(total, abs=1e-8)


def test_the_loss_agrees_with_lightly():
    """lightly takes large and small crops apart and computes the assignments itself."""
    scores = [cosines(8, 6, seed=s) for s in range(3)]
    assignments = [sinkhorn(scores[a], 0.05, 3) for a in range(2)]
    theirs = lightly.loss.SwaVLoss(temperature=0.1)(scores[:2], scores[2:])
    assert float(swav_loss(scores, assignments, 0.1)) == pytest.approx(float(theirs), abs=1e-9)


def test_equal_scores_give_the_logarithm_of_the_prototypes():
    scores = [torch.full((4, 3000), 0.3).double()] * 2
    assignments = [sinkhorn(crop, 0.05, 3) for crop in scores]
    assert float(swav_loss(scores, assignments, 0.1)) == pytest.approx(math.log(3000), abs=1e-9)


def test_no_gradient_flows_through_the_assignments():
    scores = [cosines(4, 3, seed=s).requires_grad_() for s in range(2)]
    assigned = sinkhorn(scores[0], 0.05, 3)
    assert not assigned.requires_grad
    swav_loss(scores, [assigned], 0.1).backward()
    assert scores[0].grad is None or scores[0].grad.abs().sum() == 0
    assert scores[1].grad.abs().sum() > 0


def at(batch, *, epoch=1, progress=0.9):
    return dataclasses.replace(batch, epoch=epoch, progress=progress)


def test_the_method_predicts_the_assignment_of_the_other_crop(make_spec, make_batch, ready):
    changes = {"temperature": 0.3, "epsilon": 0.1, "sinkhorn_iterations": 1}
    method = ready(make_spec("swav", **changes))
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        z = [method.projector(method.encode(crop)) for crop in batch.crops]
        scores = [method.prototypes(torch.nn.functional.normalize(each, dim=1)) for each in z]
    assignments = [sinkhorn(each, 0.1, 1) for each in scores]
    torch.testing.assert_close(loss.detach(), swav_loss(scores, assignments, 0.3))
    assert not torch.isclose(loss.detach(), swav_loss(scores, assignments[::-1], 0.3), rtol=1e-3)


def test_prototypes_are_normalised_when_an_iteration_starts(
    make_spec, make_batch, ready, monkeypatch
):
    seen = []

    def spy(scores, assignments, temperature):
        seen.extend(scores)
        return swav_loss(scores, assignments, temperature)

    monkeypatch.setattr(baselines.swav, "swav_loss", spy)
    method = ready(make_spec("swav"))
    with torch.no_grad():
        method.prototypes.weight.mul_(50)
    method.training_step(at(make_batch(method)))
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(8))
    assert all(scores.abs().max() <= 1 + 1e-5 for scores in seen)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_prototypes_are_frozen_in_the_first_epochs(make_spec, make_batch, ready, optimizer):
    """Dropping the gradient also keeps weight decay and momentum away."""
    method = ready(make_spec("swav", optimizer=optimizer, weight_decay=0.1, frozen_epochs=1))
    frozen = torch.nn.functional.normalize(method.prototypes.weight.detach(), dim=1).clone()
    encoder = next(method.encoder.parameters()).clone()
    method.update(at(make_batch(method), epoch=0))
    assert torch.equal(method.prototypes.weight, frozen)
    assert not torch.equal(next(method.encoder.parameters()), encoder)
    method.update(at(make_batch(method), epoch=1))
    assert not torch.allclose(method.prototypes.weight, frozen, atol=1e-4)


def test_a_queue_joins_in_when_it_is_full_and_is_scored_anew(
    make_spec, make_batch, ready, monkeypatch
):
    seen = []

    def spy(scores, epsilon, iterations):
        seen.append((scores.clone(), sinkhorn(scores, epsilon, iterations)))
        return seen[-1][1]

    monkeypatch.setattr(baselines.swav, "sinkhorn", spy)
    method = ready(make_spec("swav", queue_size=16))
    for step in range(3):
        method.update(at(make_batch(method, step=step)))
    assert [len(scores) for scores, _ in seen] == [8, 8, 8, 8, 24, 24]
    seen.clear()
    with torch.no_grad():
        method.prototypes.weight.neg_()
    method.assign(torch.zeros(8, 8), method.first_queue)
    scores, _ = seen[0]
    torch.testing.assert_close(scores[8:], method.first_queue.features @ method.prototypes.weight.T)


def test_only_the_batch_part_of_the_assignments_is_used(make_spec, ready):
    method = ready(make_spec("swav", queue_size=16))
    method.first_queue.enqueued += 16
    with torch.no_grad():
        scores = method.prototypes(torch.nn.functional.normalize(torch.ones(8, 16), dim=1))
    assigned = method.assign(scores, method.first_queue)
    assert assigned.shape == (8, 8)
    torch.testing.assert_close(assigned.sum(1), torch.ones(8))


def test_queues_fill_each_with_its_own_crop_and_not_before_their_start(
    make_spec, make_batch, ready
):
    method = ready(make_spec("swav", queue_start=0.5))
    method.update(at(make_batch(method), progress=0.4))
    assert int(method.first_queue.enqueued) == 0
    batch = at(make_batch(method), progress=0.5)
    with torch.no_grad():
        embeddings = method.embed(batch)
    method.update(batch)
    for queue, z in zip((method.first_queue, method.second_queue), embeddings, strict=True):
        torch.testing.assert_close(queue.features[:8], z, rtol=1e-4, atol=1e-5)


def test_it_runs_without_queues(make_spec, make_batch, ready):
    method = ready(make_spec("swav", queue_size=0))
    assert method.update(at(make_batch(method)))["loss"].isfinite()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue_size": 20}, "queue_size 20 is not a multiple of batch_size 8"),
        ({"views": ["l", "ab"]}, "give it one view"),
    ],
)
def test_contradictory_specs_are_refused(make_spec, changes, message):
    with pytest.raises(UserError, match=message):
        make_spec("swav", **changes)


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("swav", "resnet18", preset="own")
    assert (spec.optimizer, spec.learning_rate, spec.hyper["prototypes"]) == ("adam", 1e-3, 512)
