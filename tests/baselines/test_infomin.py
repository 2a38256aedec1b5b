"""InfoMin: what a jigsaw patch is, how the two losses are joined, when the keys' network moves."""

import copy

import pytest
import torch

from baselines.infomin import JigsawHead, jigsaw_patches
from baselines.moco import info_nce_loss
from metaug.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("grid", "size", "side"), [(3, 32, 8), (2, 32, 12), (3, 255, 64)])
def test_every_cell_gives_one_whole_patch(grid, size, side):
    """Pixels hold their own number, so that a patch tells where it was cut."""
    images = torch.arange(size * size).view(1, 1, size, size).repeat(2, 1, 1, 1)
    patches = jigsaw_patches(images, grid, generator())
    assert patches.shape == (2 * grid * grid, 1, side, side)
    cell = size // grid
    for cells in patches.view(2, grid * grid, side, side):
        found = set()
        for patch in cells:
            row, column = divmod(int(patch[0, 0]), size)
            expected = images[0, 0, row : row + side, column : column + side]
            assert torch.equal(patch, expected)
            found.add((row // cell, column // cell))
            assert (row + side - 1) // cell == row // cell
            assert (column + side - 1) // cell == column // cell
        assert found == {(i, j) for i in range(grid) for j in range(grid)}


def test_order_and_places_are_drawn_for_each_image():
    images = torch.arange(96 * 96).view(1, 1, 96, 96).repeat(64, 1, 1, 1)
    corners = jigsaw_patches(images, 3, generator())[:, 0, 0, 0].view(64, 9)
    assert len({tuple(row.tolist()) for row in corners}) == 64
    first_cells = {(int(c) // 96 // 32, int(c) % 96 // 32) for c in corners[:, 0]}
    assert len(first_cells) == 9


def test_patches_of_an_image_are_projected_and_then_taken_together():
    torch.manual_seed(0)
    head = JigsawHead(5, 6, 4, cells=9)
    features = torch.randn(18, 5, generator=generator())
    together = head(features)
    assert together.shape == (2, 4)
    alone = head(features[9:])
    torch.testing.assert_close(together[1:], alone)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_loss_weighs_instance_and_jigsaw_against_the_same_keys(
    make_spec, make_batch, ready, monkeypatch, weight
):
    calls, queries, cut_images = [], [], []

    def spy(query, key, queue, temperature):
        calls.append((key.clone(), queue.clone(), info_nce_loss(query, key, queue, temperature)))
        queries.append(query.detach())
        return calls[-1][2]

    def cut(images, grid, generator):
        cut_images.append(images)
        return jigsaw_patches(images, grid, generator)

    monkeypatch.setattr("baselines.infomin.info_nce_loss", spy)
    monkeypatch.setattr("baselines.infomin.jigsaw_patches", cut)
    method = ready(make_spec("infomin", jigsaw_weight=weight, bn_splits=1))
    before = method.queue.read()
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        query = method.embed(method.query_network, batch.crops[0])
        expected_key = method.embed(method.key_network, batch.crops[1])
    torch.testing.assert_close(queries[0], query)
    torch.testing.assert_close(calls[0][0], expected_key, rtol=1e-4, atol=1e-5)
    assert cut_images[0] is batch.crops[2]
    (key, queue, instance), (jigsaw_key, jigsaw_queue, jigsaw) = calls
    assert torch.equal(key, jigsaw_key)
    assert torch.equal(queue, before)
    assert torch.equal(jigsaw_queue, before)
    expected = (1 - weight) * instance.detach() + weight * jigsaw.detach()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_key_network_moves_after_the_step(make_spec, make_batch, ready):
    method = ready(make_spec("infomin", momentum_start=0.0))
    before = copy.deepcopy(method.query_network)
    method.update(make_batch(method))
    pairs = zip(
        method.key_network.parameters(),
        method.query_network.parameters(),
        before.parameters(),
        strict=True,
    )
    for key, query, old in pairs:
        assert torch.equal(key, query)
        assert not torch.equal(query, old)


def test_keys_are_enqueued_once(make_spec, make_batch, ready):
    method = ready(make_spec("infomin"))
    method.update(make_batch(method))
    assert int(method.queue.enqueued) == 8


@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_both_branches_move_the_encoder(make_spec, make_batch, ready, backbone):
    gradients = []
    for weight in (0.0, 1.0):
        method = ready(make_spec("infomin", backbone, jigsaw_weight=weight, jigsaw_grid=2))
        loss, _ = method.training_step(make_batch(method))
        loss.backward()
        gradients.append(next(method.encoder.parameters()).grad)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jigsaw_grid": 5}, "jigsaw_grid 5 cuts images of 32 pixels into cells of fewer than 8"),
        ({"queue_size": 20}, "infomin: queue_size 20 is not a multiple"),
        ({"views": ["l", "ab"]}, "give it one view"),
    ],
)
def test_contradictory_specs_are_refused(make_spec, changes, message):
    with pytest.raises(UserError, match=message):
        make_spec("infomin", **changes)


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("infomin", "resnet50", preset="own")
    assert (spec.hyper["temperature"], spec.hyper["queue_size"]) == (0.15, 65536)
