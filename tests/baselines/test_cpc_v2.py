"""CPC v2: loss and patches against loops; nothing of a target leaks into its prediction."""

import math

import pytest
import torch
from torch import nn

import baselines.cpc_v2 as cpc
from baselines.cpc_v2 import Context, cpc_loss, layer_normed, patches
from metaug.config import Config, DatasetScale, Scale
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}, "resnet18": {"width": 1 / 16}},
        spec={"augmentation": "cmc", "batch_size": 4, "epochs": 1, "learning_rate": 0.1},
    )
    return Grid(scale, Config())


def batch_of(images=4):
    generator = torch.Generator().manual_seed(0)
    return Batch(
        crops=(torch.rand(images, 3, 32, 32, generator=generator),),
        index=torch.arange(images),
        labels=torch.zeros(images, dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=lambda purpose: generator,
    )


def method(backbone="alexnet", **changes):
    spec = grid().spec("cpc_v2", "digits_m", backbone, **{"feature_dim": 8, **changes})
    return build_method(spec, DataShape(8, 10), trial=0)


def test_loss_equals_the_naive_formula():
    predictions, targets, negatives = random(5, 4), random(5, 4, seed=1), random(7, 4, seed=2)
    excluded = torch.zeros(5, 7, dtype=torch.bool)
    excluded[1, 3] = excluded[4, 0] = excluded[4, 6] = True
    total = 0.0
    for m in range(5):
        own = math.exp(float(predictions[m] @ targets[m]))
        others = sum(
            math.exp(float(predictions[m] @ negatives[k])) for k in range(7) if not excluded[m, k]
        )
        total -= math.log(own / (own + others)) / 5
    ours = cpc_loss(predictions, targets, negatives, excluded)
    assert float(ours) == pytest.approx(total, abs=1e-8)


def test_equal_scores_give_the_logarithm_of_the_choices():
    loss = cpc_loss(torch.zeros(3, 4), torch.ones(3, 4), torch.ones(9, 4))
    assert float(loss) == pytest.approx(math.log(10), abs=1e-6)


def test_gradient_flows_through_predictions_targets_and_negatives():
    inputs = tuple(random(4, 3, seed=s).requires_grad_() for s in range(3))
    assert torch.autograd.gradcheck(cpc_loss, inputs)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_patches_are_half_overlapping_quarters_row_by_row(side):
    images = random(2, 3, side, side)
    cut = patches(images)
    size, stride = side // 4, side // 8
    assert cut.shape == (98, 3, size, size)
    for n in range(2):
        for i in range(7):
            for j in range(7):
                y, x = i * stride, j * stride
                assert torch.equal(
                    cut[n * 49 + i * 7 + j], images[n, :, y : y + size, x : x + size]
                )


def test_sizes_without_such_patches_are_an_error():
    with pytest.raises(ValueError, match="36 pixels"):
        patches(torch.zeros(1, 3, 36, 36))


@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_no_batch_norm_is_left_and_patches_do_not_know_each_other(backbone):
    built = method(backbone).train()
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in built.modules())
    images = batch_of().crops[0]
    changed = images.clone()
    changed[0, :, :8, :8] = 0
    with torch.no_grad():
        before, after = (built.encoder(patches(x)) for x in (images, changed))
    touched = (patches(images) != patches(changed)).flatten(1).any(1)
    assert int(touched.sum()) == 4
    assert torch.allclose(before[~touched], after[~touched], atol=1e-6)
    assert not torch.allclose(before[touched], after[touched], atol=1e-3)


def test_layer_norm_takes_the_width_of_the_batch_norm():
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Sequential(nn.BatchNorm1d(7)))
    layer_normed(network)
    assert isinstance(network[1], nn.GroupNorm)
    assert (network[1].num_groups, network[1].num_channels) == (1, 5)
    assert network[2][0].normalized_shape == (7,)


@pytest.mark.parametrize("row", range(7))
def test_context_sees_its_own_row_and_those_above(row):
    torch.manual_seed(0)
    context = Context(8)
    x = torch.randn(2, 8, 7, 7, requires_grad=True)
    context(x)[:, :, row].square().sum().backward()
    seen = x.grad.abs().sum((0, 1, 3)) > 0
    assert not seen[row + 1 :].any()
    assert seen[row]
    assert seen[max(0, row - 4) : row].all()


def recorded(monkeypatch, built, batch):
    """The calls of the loss in one step: predictions, targets, negatives, excluded."""
    calls = []
    original = cpc.cpc_loss
    monkeypatch.setattr(cpc, "cpc_loss", lambda *a: calls.append(a) or original(*a))
    built.training_step(batch)
    return calls


def test_targets_lie_the_predicted_rows_away_in_all_four_directions(monkeypatch):
    built = method(first_row=2, last_row=3)
    batch = batch_of()
    calls = recorded(monkeypatch, built, batch)
    assert len(calls) == 4 * 2
    with torch.no_grad():
        vectors = built.target(built.encoder(patches(batch.views(("rgb",))["rgb"])))
    vectors = vectors.view(4, 7, 7, -1)
    turned = [
        vectors,
        vectors.flip(2).transpose(1, 2),  # rows of the turned grid are columns, last first
        vectors.flip(1).flip(2),
        vectors.transpose(1, 2).flip(2),
    ]
    for turns in range(4):
        for number, row in enumerate((2, 3)):
            predictions, targets, _, _ = calls[turns * 2 + number]
            expected = turned[turns][:, row:].flatten(0, 2)
            assert targets.shape == predictions.shape == expected.shape
            assert torch.allclose(targets, expected, atol=1e-5)


@pytest.mark.parametrize("turns", range(4))
def test_predictions_share_no_pixel_with_their_targets(monkeypatch, turns):
    """Gradient of one prediction with respect to pixels against that of its target."""
    built = method(first_row=2, last_row=2)
    pixels = batch_of().crops[0].requires_grad_()
    monkeypatch.setattr(cpc, "make_views", lambda images, names: {"rgb": images})
    batch = batch_of()
    object.__setattr__(batch, "crops", (pixels,))
    monkeypatch.setattr(Batch, "views", lambda self, names: {"rgb": self.crops[0]})
    predictions, targets, _, _ = recorded(monkeypatch, built, batch)[turns]
    for place in (0, 17, 40):
        seen = [
            torch.autograd.grad(part[place].square().sum(), pixels, retain_graph=True)[0].abs() > 0
            for part in (predictions, targets)
        ]
        assert seen[0].any()
        assert seen[1].any()
        assert not (seen[0] & seen[1]).any()


def test_a_predictions_own_target_is_no_negative(monkeypatch):
    built = method(patch_negatives=300)
    for _, targets, negatives, excluded in recorded(monkeypatch, built, batch_of()):
        same = (targets[:, None] == negatives[None]).all(-1)
        assert torch.equal(same, excluded)
        assert excluded.any()
        assert not excluded.all(1).any()


@pytest.mark.parametrize(
    ("backbone", "widths"),
    [("alexnet", {"conv": 8 * 16, "fc6": 128, "fc": 128}), ("resnet18", {"pool": 32})],
)
def test_readouts_pool_the_grid_of_patches(backbone, widths):
    built = method(backbone).eval()
    images = batch_of().crops[0]
    with torch.no_grad():
        found = built.representation(images)
        single = built.encoder_of("rgb").layers(patches(batch_of().views(("rgb",))["rgb"]))
    assert {name: f.shape[1] for name, f in found.items()} == widths
    last = "fc" if backbone == "alexnet" else "pool"
    assert torch.allclose(found[last], single[last].view(4, 49, -1).mean(1), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"views": ("l", "ab")}, "view"),
        ({"image_size": 36}, "image_size"),
        ({"image_size": 24}, "image_size"),
        ({"first_row": 4, "last_row": 3}, "first_row"),
        ({"last_row": 7}, "last_row"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(changes, names):
    with pytest.raises(UserError, match=names) as error:
        grid().spec("cpc_v2", "digits_m", **changes)
    assert "cpc_v2" in str(error.value)
    assert "\n" not in str(error.value)
