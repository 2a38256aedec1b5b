"""LooC: the loss against loops and MoCo's; which parameters the views share; order of a step."""

import math

import pytest
import torch
from torch.nn import functional as F

from baselines.looc import left_out_groups, looc_loss
from baselines.moco import info_nce_loss
from metaug.config import Config, DatasetScale, Scale
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.seeds import draws_of


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}, "resnet18": {"width": 1 / 16}},
        spec={"augmentation": "cmc", "batch_size": 8, "epochs": 1, "learning_rate": 0.1},
        hyper={"queue_size": 32, "projector_hidden": 16, "feature_dim": 6},
    )
    return Grid(scale, Config())


def method(backbone="alexnet", **changes):
    spec = grid().spec("looc", "digits_m", backbone, **changes)
    return build_method(spec, DataShape(8, 10), trial=0)


def images(count=8):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)


def batch_of(built, seed=0):
    return Batch(
        crops=built.augment(images(), draws_of(seed)),
        index=torch.arange(8),
        labels=torch.zeros(8, dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=draws_of(seed),
    )


def naive_loss(queries, keys, queues, t):
    def e(a, b):
        return math.exp(float(a @ b / (a.norm() * b.norm())) / t)

    spaces, count, _ = queries.shape
    total = 0.0
    for b in range(count):
        q = queries[:, b]
        queue = [sum(e(q[i], row) for row in queues[i]) for i in range(spaces)]
        own = e(q[0], keys[0, 0, b])
        terms = [math.log(own / (own + queue[0]))]
        for i in range(1, spaces):
            of_image = [e(q[i], keys[i, j, b]) for j in range(spaces)]
            terms.append(math.log(of_image[i] / (sum(of_image) + queue[i])))
        total -= sum(terms) / spaces / count
    return total


@pytest.mark.parametrize("spaces", [1, 2, 4])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss_equals_the_naive_formula(spaces, temperature):
    inputs = (
        random(spaces, 5, 4),
        random(spaces, spaces, 5, 4, seed=1),
        random(spaces, 7, 4, seed=2),
    )
    assert float(looc_loss(*inputs, temperature)) == pytest.approx(
        naive_loss(*inputs, temperature), abs=1e-8
    )


def test_without_a_left_out_augmentation_it_is_moco():
    query, key, queue = random(5, 4), random(5, 4, seed=1), random(9, 4, seed=2)
    assert float(looc_loss(query[None], key[None, None], queue[None], 0.2)) == pytest.approx(
        float(info_nce_loss(query, key, queue, 0.2)), abs=1e-12
    )


def test_spaces_are_averaged_not_summed():
    """Equal scores everywhere: ln(1 + K) in space 0, ln(1 + n + K) in each of the n others."""
    ones = torch.ones(3, 4, 5), torch.ones(3, 3, 4, 5), torch.ones(3, 7, 5)
    expected = (math.log(8) + 2 * math.log(10)) / 3
    assert float(looc_loss(*ones, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_other_keys_of_the_image_are_negatives_in_sensitive_spaces_alone():
    queries, keys = random(2, 3, 4), random(2, 2, 3, 4, seed=1)
    queues = random(2, 5, 4, seed=2)
    base = float(looc_loss(queries, keys, queues, 0.2))
    in_space_0, in_space_1 = keys.clone(), keys.clone()
    in_space_0[0, 1] = queries[0]
    in_space_1[1, 0] = queries[1]
    assert float(looc_loss(queries, in_space_0, queues, 0.2)) == pytest.approx(base, abs=1e-12)
    assert float(looc_loss(queries, in_space_1, queues, 0.2)) > base + 0.1


def test_gradient_flows_through_queries_alone():
    queries = random(2, 3, 4).requires_grad_()
    keys = random(2, 2, 3, 4, seed=1).requires_grad_()
    queues = random(2, 5, 4, seed=2).requires_grad_()
    looc_loss(queries, keys, queues, 0.2).backward()
    assert queries.grad.abs().max() > 0
    assert keys.grad is None
    assert queues.grad is None


@pytest.mark.parametrize(
    ("left_out", "recipe", "groups"),
    [
        (None, "cmc", (("crop",), ("hflip",))),
        (None, "rotate+jitter", (("rotate",), ("jitter",))),
        ("rotate, jitter + grey", "crop+rotate+jitter+grey", (("rotate",), ("jitter", "grey"))),
        ("grey", "crop+grey", (("grey",),)),
    ],
)
def test_groups_of_left_out_operations(left_out, recipe, groups):
    assert left_out_groups(left_out, recipe) == groups


def recorded_draws(built, monkeypatch):
    """The parameters of every view, in order."""
    applied = []
    kind = type(built.augmentations[0])
    original = kind.apply
    monkeypatch.setattr(kind, "apply", lambda self, x, p: applied.append(p) or original(self, x, p))
    built.augment(images(), draws_of(1))
    return applied


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_each_key_shares_the_querys_parameters_of_its_group_and_no_others(monkeypatch):
    built = method(augmentation="crop+hflip+rotate+jitter+grey", left_out="rotate,jitter+grey")
    query, key_0, *keys = recorded_draws(built, monkeypatch)
    assert len(keys) == 2
    for name in query:
        assert not same(query[name], key_0[name]), name
    for key, group in zip(keys, ({"rotate"}, {"jitter", "grey"}), strict=True):
        for name in query:
            assert same(query[name], key[name]) is (name in group), (name, group)
    assert not same(keys[0]["crop"], keys[1]["crop"])


def test_shared_parameters_give_the_same_transformation():
    """With a rotation alone its key is the query, pixel by pixel; key 0 is not."""
    built = method(augmentation="rotate")
    query, key_0, key_1 = built.augment(images(), draws_of(1))
    assert torch.equal(query, key_1)
    assert not torch.equal(query, key_0)


def test_number_of_views_is_two_more_than_augmentations():
    assert len(batch_of(method()).crops) == 4
    assert len(batch_of(method(left_out="crop")).crops) == 3


def test_keys_come_after_the_momentum_update_and_join_the_queue_after_the_loss():
    built = method().train()
    reference = method().train()
    with torch.no_grad():
        for p in (*built.key_encoder.parameters(), *built.key_heads.parameters()):
            p.add_(0.1)
        reference.load_state_dict(built.state_dict())
    batch = batch_of(built)
    loss, _ = built.training_step(batch)

    pairs = (
        (reference.key_encoder, reference.encoder),
        (reference.key_heads, reference.heads),
    )
    queues = torch.stack([queue.read() for queue in reference.queues])
    hidden = reference.encode(batch.crops[0])
    queries = torch.stack([head(hidden) for head in reference.heads])
    with torch.no_grad():
        for target, online in pairs:
            for t, o in zip(target.parameters(), online.parameters(), strict=True):
                t.copy_(0.99 * t + 0.01 * o)
        encoded = [reference.encode(crop, reference.key_encoder) for crop in batch.crops[1:]]
        keys = torch.stack(
            [torch.stack([head(h) for h in encoded]) for head in reference.key_heads]
        )
    expected = looc_loss(queries, keys, queues, 0.2)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-4)
    for space, queue in enumerate(built.queues):
        rows = F.normalize(keys[space, space], dim=1)
        assert int(queue.enqueued) == 8
        assert torch.allclose(queue.features[:8], rows, atol=1e-4)


def test_parts_of_a_batch_have_statistics_of_their_own_and_keys_are_shuffled():
    """A key is normalised beside other images than its query, and comes back in its place."""
    split, whole = method(bn_splits=2).train(), method().train()
    batch = batch_of(split)
    crop = batch.crops[1]
    order = torch.randperm(8, generator=batch.draws("shuffle"))
    with torch.no_grad():
        expected = [whole.encode(part, whole.key_encoder) for part in crop[order].chunk(2)]
        keys = split.encode_keys(crop, batch)
        torch.testing.assert_close(keys[order], torch.cat(expected))
        unshuffled = [whole.encode(part, whole.key_encoder) for part in crop.chunk(2)]
    assert not torch.allclose(keys, torch.cat(unshuffled), atol=1e-3)
    losses = [float(built.training_step(batch)[0].detach()) for built in (split, whole)]
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)


def test_key_network_learns_by_momentum_alone():
    built = method()
    trained = {
        id(p) for o in built.optimizers.values() for g in o.param_groups for p in g["params"]
    }
    for p in (*built.key_encoder.parameters(), *built.key_heads.parameters()):
        assert not p.requires_grad
        assert id(p) not in trained
    built.update(batch_of(built))
    assert all(p.grad is None for p in built.key_encoder.parameters())
    assert built.key_encoder.training


@pytest.mark.parametrize(
    ("recipe", "groups"),
    [
        ("crop+hflip+rotate+jitter", (("rotate",), ("jitter",))),
        ("rotate+jitter", (("rotate",), ("jitter",))),
        ("crop+hflip", (("crop",), ("hflip",))),
        ("crop", (("crop",),)),
    ],
)
def test_crop_and_flip_are_left_out_only_where_there_is_nothing_else(recipe, groups):
    assert set(left_out_groups(None, recipe)) == set(groups)


@pytest.mark.parametrize(("backbone", "last"), [("alexnet", "fc"), ("resnet18", "pool")])
def test_looc_plus_plus_is_a_further_readout(backbone, last):
    built = method(backbone).eval()
    with torch.no_grad():
        found = built.representation(images().float() / 255)
    plus = found[f"{last};features=looc_plus_plus"]
    assert plus.shape == (8, 3 * 6)
    for i, head in enumerate(built.heads):
        expected = F.normalize(head(found[last]), dim=1)
        assert torch.allclose(plus[:, 6 * i : 6 * i + 6], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"augmentation": "none"}, "augmentation 'none'"),
        ({"left_out": "rotate"}, "left_out names 'rotate'"),
        ({"augmentation": "crop+jitter", "left_out": "crop,jitter+grey"}, "'grey'"),
        ({"left_out": ""}, "left_out"),
        ({"augmentation": "crop+jitter", "left_out": "jitter,jitter"}, "a group twice"),
        ({"queue_size": 30}, "queue_size"),
        ({"bn_splits": 3}, "bn_splits 3 does not split a batch of 8"),
        ({"views": ("l", "ab")}, "view"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(changes, names):
    with pytest.raises(UserError, match=names) as error:
        grid().spec("looc", "digits_m", **changes)
    assert "looc" in str(error.value)
    assert "\n" not in str(error.value)


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("looc", "digits_m", preset="own")
    assert (spec.hyper["queue_size"], spec.hyper["momentum_start"]) == (16384, 0.999)
    assert left_out_groups(spec.hyper["left_out"], spec.augmentation[0]) == (
        ("rotate",),
        ("jitter", "grey"),
    )
