"""BiGAN: the losses against their definition; one simultaneous step; what each network sees."""

import math

import pytest
import torch
from torch.nn import functional as F

from baselines.bigan import BiGAN, bigan_losses, resolutions
from metaug.config import Config, DatasetScale, Scale
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method


def grid(image_size=32):
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=image_size)},
        backbones={"alexnet": {"width": 1 / 32}, "resnet18": {"width": 1 / 16}},
        spec={
            "augmentation": "cmc",
            "batch_size": 8,
            "epochs": 1,
            "learning_rate": 0.1,
            "optimizer": "sgd",
        },
    )
    return Grid(scale, Config())


def batch_of(images=8, size=32):
    generator = torch.Generator().manual_seed(0)
    return Batch(
        crops=(torch.rand(images, 3, size, size, generator=generator),),
        index=torch.arange(images),
        labels=torch.zeros(images, dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=lambda purpose: generator,
    )


def method(backbone="alexnet", image_size=32, **changes):
    spec = grid(image_size).spec("bigan", "digits_m", backbone, **{"latent_dim": 6, **changes})
    return build_method(spec, DataShape(8, 10), trial=0)


def test_losses_equal_the_naive_formula():
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(7, generator=generator, dtype=torch.float64)
    made = torch.randn(7, generator=generator, dtype=torch.float64)
    judge = others = 0.0
    for i in range(7):
        d_real, d_made = (1 / (1 + math.exp(-float(v[i]))) for v in (real, made))
        judge += (-math.log(d_real) - math.log(1 - d_made)) / 14
        others += (-math.log(1 - d_real) - math.log(d_made)) / 14
    ours = bigan_losses(real, made)
    assert float(ours[0]) == pytest.approx(judge, abs=1e-8)
    assert float(ours[1]) == pytest.approx(others, abs=1e-8)


def test_losses_are_torchs_cross_entropies_with_labels_exchanged():
    real, made = torch.randn(5, generator=torch.Generator().manual_seed(1)), torch.ones(5)
    for loss, label in zip(bigan_losses(real, made), (1.0, 0.0), strict=True):
        expected = F.binary_cross_entropy_with_logits(real, torch.full((5,), label))
        expected += F.binary_cross_entropy_with_logits(made, torch.full((5,), 1 - label))
        assert float(loss) == pytest.approx(float(expected) / 2, abs=1e-6)


def test_an_undecided_discriminator_gives_ln_2_to_both():
    for loss in bigan_losses(torch.zeros(4), torch.zeros(4)):
        assert float(loss) == pytest.approx(0.6931, abs=1e-4)


def test_both_losses_start_near_ln_2():
    losses = method().losses(batch_of())
    for loss in losses.values():
        assert float(loss.detach()) == pytest.approx(math.log(2), abs=0.15)


def test_a_confident_discriminator_leaves_the_others_a_gradient():
    """Non-saturating: minus the discriminator's own loss would have next to none."""
    made = torch.full((4,), -20.0, requires_grad=True)
    bigan_losses(torch.full((4,), 20.0), made)[1].backward()
    assert float(made.grad.sum()) == pytest.approx(-0.5, abs=1e-6)


def test_all_networks_step_at_once_from_the_same_forward_pass():
    """Every gradient is that at the weights before the step, each player's of its own loss."""
    stepped, reference = method(), method()
    players = reference.players()
    losses = reference.losses(batch_of())
    for name, optimizer in reference.optimizers.items():
        gradients = torch.autograd.grad(losses[name], players[name], retain_graph=True)
        for parameter, gradient in zip(players[name], gradients, strict=True):
            parameter.grad = gradient
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    for optimizer in reference.optimizers.values():
        optimizer.step()
    stepped.update(batch_of())
    theirs = dict(reference.named_parameters())
    start = dict(method().named_parameters())
    for name, parameter in stepped.named_parameters():
        assert torch.allclose(parameter, theirs[name], atol=1e-6), name
        assert not torch.equal(parameter, start[name]), name


def test_players_are_every_parameter_once():
    built = method()
    players = built.players()
    judge = {id(p) for p in players["discriminator"]}
    assert judge == {id(p) for p in built.discriminator.parameters()}
    others = {id(p) for p in players["encoder"]}
    assert not judge & others
    assert judge | others == {id(p) for p in built.parameters()}
    assert {id(p) for p in built.encoder.parameters()} <= others


def test_the_encoder_learns_by_the_game_not_by_reconstruction():
    """Its gradient is that of fooling the discriminator about pairs of real images, nothing else:
    with the images of the generator replaced by noise it stays the same."""
    gradients = []
    for noise in (False, True):
        built = method().eval()
        if noise:
            built.generator.forward = lambda codes: torch.zeros(len(codes), 3, 32, 32)
        loss = built.losses(batch_of())["encoder"]
        gradients.append(torch.autograd.grad(loss, built.latent.weight)[0])
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)


def test_the_discriminator_sees_pairs():
    built = method().eval()
    images, codes = torch.rand(4, 3, 32, 32) * 2 - 1, torch.rand(4, 6) * 2 - 1
    with torch.no_grad():
        logits = built.discriminator(images, codes)
        assert logits.shape == (4,)
        assert not torch.allclose(logits, built.discriminator(images, codes.roll(1, 0)), atol=1e-6)
        assert not torch.allclose(logits, built.discriminator(images.roll(1, 0), codes), atol=1e-6)


def test_real_and_generated_pairs_come_in_one_range_and_batches_of_their_own(monkeypatch):
    built = method()
    with torch.no_grad():
        built.latent.weight *= 50
    seen = []
    forward = built.discriminator.forward
    monkeypatch.setattr(
        built.discriminator, "forward", lambda x, z: seen.append((x, z)) or forward(x, z)
    )
    batch = batch_of()
    built.losses(batch)
    (real, encoded), (made, codes) = seen
    assert torch.allclose(real, batch.crops[0] * 2 - 1)
    assert made.shape == real.shape
    assert made.abs().max() <= 1
    assert encoded.requires_grad
    assert 0.9 < encoded.abs().max() <= 1  # the range of the prior
    assert not codes.requires_grad
    assert codes.min() >= -1
    assert codes.max() <= 1
    assert codes.std() == pytest.approx(3**-0.5, abs=0.15)


@pytest.mark.parametrize(
    ("image_size", "expected"), [(32, (4, 3)), (64, (4, 4)), (96, (6, 4)), (224, (7, 5))]
)
def test_generated_images_have_the_size_of_the_data(image_size, expected):
    assert resolutions(image_size) == expected
    built = method(image_size=image_size)
    assert built.generator(torch.zeros(2, 6)).shape == (2, 3, image_size, image_size)


def test_resnet_is_an_encoder_too():
    built = method("resnet18")
    logs = built.update(batch_of())
    assert math.isfinite(float(logs["loss"]))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"views": ("l", "ab")}, "view"),
        ({"optimizer": "sgd"}, "adam_beta1"),
        ({"image_size": 36}, "image_size"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(changes, names):
    with pytest.raises(UserError, match=names) as error:
        grid().spec("bigan", "digits_m", **changes)
    assert "bigan" in str(error.value)
    assert "\n" not in str(error.value)


def test_step_size_is_its_own_whatever_the_scale():
    spec = grid().spec("bigan", "digits_m")
    assert (spec.optimizer, spec.learning_rate, spec.weight_decay) == ("adam", 2e-4, 2.5e-5)
    assert BiGAN.Hyper().adam_beta1 == 0.5


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("bigan", "digits_m", preset="own")
    assert (spec.batch_size, spec.schedule, spec.learning_rate) == (128, "constant", 2e-4)
