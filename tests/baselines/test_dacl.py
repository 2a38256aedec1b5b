"""DACL's three mixups against loops over values; partners, weights and the loss."""

import math
from dataclasses import replace

import pytest
import torch

from baselines.dacl import (
    DACL,
    binary_mixup,
    draw_partners,
    geometric_mixup,
    linear_mixup,
)
from baselines.simclr import nt_xent_loss
from metaug.config import Config, DatasetScale, Scale
from metaug.data.views import make_views
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.seeds import draws_of


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=source(seed), dtype=dtype)


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}},
        spec={"augmentation": "cmc", "batch_size": 6, "epochs": 1, "learning_rate": 0.1},
    )
    return Grid(scale, Config())


def batch_of(crops):
    return Batch(
        crops=crops,
        index=torch.arange(len(crops[0])),
        labels=torch.zeros(len(crops[0]), dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=lambda purpose: source(5),
    )


def method_of(**changes):
    return build_method(grid().spec("dacl", "digits_m", **changes), DataShape(6, 10), trial=0)


def test_mixups_equal_their_formulas_value_by_value():
    a, b = images(3, 2, 4), images(3, 2, 4, seed=1)
    weight = torch.tensor([0.6, 0.9, 1.0], dtype=torch.float64)
    kept = images(3, 2, 4, seed=2) < 0.7
    linear, geometric = linear_mixup(a, b, weight), geometric_mixup(a, b, weight)
    binary = binary_mixup(a, b, kept)
    for n in range(3):
        w = float(weight[n])
        for i in range(2):
            for j in range(4):
                x, y = float(a[n, i, j]), float(b[n, i, j])
                assert float(linear[n, i, j]) == pytest.approx(w * x + (1 - w) * y, abs=1e-12)
                expected = math.exp(w * math.log(x) + (1 - w) * math.log(y))
                assert float(geometric[n, i, j]) == pytest.approx(expected, abs=1e-12)
                assert float(binary[n, i, j]) == (x if kept[n, i, j] else y)


def test_weight_one_leaves_images_as_they_are():
    a, b = images(3, 2, 4), images(3, 2, 4, seed=1)
    one = torch.ones(3)
    assert torch.equal(linear_mixup(a, b, one), a)
    assert torch.equal(geometric_mixup(a, b, one), a)


def test_linear_mixup_commutes_with_the_normalisation_of_rgb():
    a = images(4, 3, 8, 8, dtype=torch.float32)
    b = images(4, 3, 8, 8, seed=1, dtype=torch.float32)
    weight = torch.full((4,), 0.7)
    before = make_views(linear_mixup(a, b, weight), ["rgb"])["rgb"]
    after = linear_mixup(make_views(a, ["rgb"])["rgb"], make_views(b, ["rgb"])["rgb"], weight)
    assert torch.allclose(before, after, atol=1e-5)


def test_geometric_mixup_needs_raw_values():
    normalised = make_views(images(2, 3, 8, 8, dtype=torch.float32), ["rgb"])["rgb"]
    mixed = geometric_mixup(normalised, normalised.flip(0), torch.full((2,), 0.9))
    assert mixed.isnan().any()


@pytest.mark.parametrize("count", [3, 4, 7])
def test_partners_differ_from_the_image_and_from_each_other(count):
    generator = source()
    seen = set()
    for _ in range(300):
        first, second = draw_partners(count, generator)
        own = torch.arange(count)
        assert (first != own).all()
        assert (second != own).all()
        assert (first != second).all()
        seen |= set(zip(first.tolist(), second.tolist(), own.tolist(), strict=True))
    assert len(seen) == count * (count - 1) * (count - 2)


def test_two_images_have_no_two_partners():
    with pytest.raises(ValueError, match="at least 3 images"):
        draw_partners(2, source())


def test_weight_one_gives_nt_xent_of_the_unmixed_views():
    method = method_of(lambda_min=1.0)
    crops = (images(6, 3, 32, 32, dtype=torch.float32), images(6, 3, 32, 32, dtype=torch.float32))
    mixed = method.training_step(batch_of(crops))[0].detach()
    z1, z2 = (method.projector(method.encode(crop)) for crop in crops)
    assert float(mixed) == pytest.approx(float(nt_xent_loss(z1, z2, 0.5).detach()), abs=1e-5)


@pytest.mark.parametrize("mixup", ["linear", "geometric", "binary", "any"])
def test_mixed_images_are_dominated_by_their_own(mixup):
    """Own image white, partner black: what is left of white is the weight."""
    method = method_of(mixup=mixup)
    near, far = torch.full((400, 3, 4, 4), 1.0), torch.full((400, 3, 4, 4), 0.01)
    mixed = method.mix(near, far, source())
    assert mixed.min() >= 0
    assert mixed.max() <= 1
    share = ((mixed - 0.01) / 0.99).mean((1, 2, 3))
    floor = {"linear": 0.9, "geometric": (0.01**0.1 - 0.01) / 0.99, "binary": 0.6, "any": 0.6}
    assert share.min() >= floor[mixup] - 1e-6
    assert share.std() > 0.01


def test_any_uses_all_three_kinds():
    method = method_of(mixup="any")
    near, far = torch.full((300, 3, 4, 4), 0.8), torch.full((300, 3, 4, 4), 0.2)
    mixed = method.mix(near, far, source())
    two_valued = (mixed.isclose(near) | mixed.isclose(far)).flatten(1).all(1)
    constant = (mixed - mixed[:, :1, :1, :1]).abs().flatten(1).amax(1) < 1e-6
    assert 60 < int(two_valued.sum()) < 140
    assert 160 < int(constant.sum()) < 240


def test_the_two_views_are_mixed_with_crops_of_different_images(monkeypatch):
    """Crops of one flat grey level each: the level of a mixed crop tells its partner."""
    levels = torch.tensor([0.0, 0.1, 0.3, 0.6, 0.8, 1.0])
    crops = tuple(levels.view(-1, 1, 1, 1).expand(-1, 3, 32, 32) for _ in range(2))
    method = method_of(lambda_min=0.9)
    seen = []
    monkeypatch.setattr(
        DACL, "mix", lambda self, own, other, generator: seen.append((own, other)) or own
    )
    method.training_step(batch_of(crops))
    (own1, other1), (own2, other2) = seen
    for own, other in seen:
        assert torch.equal(own[:, 0, 0, 0], levels)
        assert (own != other).all()
    assert (other1 != other2).all()
    assert torch.equal(own1, own2)


def test_draws_come_from_the_batch_alone():
    method = method_of(mixup="any")
    crops = (images(6, 3, 32, 32, dtype=torch.float32), images(6, 3, 32, 32, dtype=torch.float32))
    method.eval()
    torch.manual_seed(1)
    first, _ = method.training_step(batch_of(crops))
    torch.manual_seed(2)
    second, _ = method.training_step(batch_of(crops))
    assert float(first) == float(second)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"lambda_min": 0.5}, "lambda_min"),
        ({"lambda_min": 0.3}, "lambda_min"),
        ({"augmentation": "crop+hflip+mixup"}, "mixup"),
        ({"views": ("l", "ab")}, "view"),
        ({"batch_size": 2}, "batch_size"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(changes, names):
    with pytest.raises(UserError, match=names) as error:
        grid().spec("dacl", "digits_m", **changes)
    assert "dacl" in str(error.value)
    assert "\n" not in str(error.value)


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("dacl", "digits_m", preset="own")
    assert (spec.batch_size, spec.hyper["mixup"], spec.hyper["temperature"]) == (256, "linear", 0.5)


def test_each_view_is_mixed_by_draws_of_its_own(monkeypatch):
    method, seeds = method_of(), []
    original = method.mix

    def mix(crops, partners, generator):
        seeds.append(generator.initial_seed())
        return original(crops, partners, generator)

    monkeypatch.setattr(method, "mix", mix)
    crops = (images(6, 3, 32, 32, dtype=torch.float32), images(6, 3, 32, 32, dtype=torch.float32))
    method.training_step(replace(batch_of(crops), draws=draws_of("here")))
    assert len({*seeds}) == 2
