"""DIM: both local objectives against loops, the prior against its definition; who gets gradient."""

import math

import pytest
import torch
from torch import nn

from baselines.dim import ScoreNetwork, dim_infonce_loss, dim_jsd_loss, prior_losses
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
        backbones={"alexnet": {"width": 1 / 32}},
        spec={"augmentation": "cmc", "batch_size": 8, "epochs": 1, "learning_rate": 0.1},
        hyper={"projector_hidden": 24},
    )
    return Grid(scale, Config())


def batch_of(images=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
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


def method(**changes):
    return build_method(grid().spec("dim", "digits_m", **changes), DataShape(8, 10), trial=0)


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def test_jsd_equals_the_naive_formula():
    local, summary = random(5, 3, 4), random(5, 4, seed=1)
    positive, negative = [], []
    for i in range(5):
        for j in range(5):
            for place in range(3):
                u = float(summary[i] @ local[j, place])
                if i == j:
                    positive.append(math.log(2) - softplus(-u))
                else:
                    negative.append(softplus(-u) + u - math.log(2))
    assert len(negative) == 5 * 4 * 3
    naive = sum(negative) / len(negative) - sum(positive) / len(positive)
    assert float(dim_jsd_loss(local, summary)) == pytest.approx(naive, abs=1e-8)


def test_jsd_of_zero_scores_is_zero_and_of_perfect_ones_the_lower_bound():
    assert float(dim_jsd_loss(torch.zeros(4, 3, 2), random(4, 2).float())) == 0
    summary = 100 * torch.eye(4, dtype=torch.float64)
    local = (2 * torch.eye(4, dtype=torch.float64) - 1)[:, None, :]
    assert float(dim_jsd_loss(local, summary)) == pytest.approx(-2 * math.log(2), abs=1e-9)


def test_infonce_equals_the_naive_formula():
    local, summary = random(4, 3, 5), random(4, 5, seed=1)
    total = 0.0
    for i in range(4):
        others = sum(
            math.exp(float(summary[i] @ local[j, place]))
            for j in range(4)
            if j != i
            for place in range(3)
        )
        for place in range(3):
            own = math.exp(float(summary[i] @ local[i, place]))
            total -= math.log(own / (own + others)) / 12
    assert float(dim_infonce_loss(local, summary)) == pytest.approx(total, abs=1e-8)


def test_infonce_of_equal_scores_is_the_logarithm_of_the_choices():
    loss = dim_infonce_loss(torch.zeros(6, 4, 3), torch.zeros(6, 3))
    assert float(loss) == pytest.approx(math.log(1 + 5 * 4), abs=1e-6)


@pytest.mark.parametrize("loss", [dim_jsd_loss, dim_infonce_loss])
def test_gradients_of_the_objectives_match_finite_differences(loss):
    local, summary = random(3, 2, 4).requires_grad_(), random(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (local, summary))


@pytest.mark.parametrize("loss", [dim_jsd_loss, dim_infonce_loss])
def test_large_scores_stay_finite(loss):
    local, summary = (1e3 * random(4, 3, 5).float()).requires_grad_(), random(4, 5).float()
    value = loss(local, summary)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(local.grad).all()


def test_prior_losses_equal_their_definition():
    """A linear discriminator: its gradient is its weight everywhere."""
    discriminator = nn.Linear(3, 1).double()
    prior, summary = random(5, 3).sigmoid(), random(5, 3, seed=1).sigmoid()
    loss, encoder_loss = prior_losses(discriminator, prior, summary, penalty=0.7)
    with torch.no_grad():
        drawn = [float(discriminator(v)) for v in prior]
        encoded = [float(discriminator(v)) for v in summary]
    bce = sum(softplus(-d) for d in drawn) / 5 + sum(softplus(e) for e in encoded) / 5
    norm = float(discriminator.weight.detach().square().sum())
    assert float(loss.detach()) == pytest.approx(bce + 0.7 * norm, abs=1e-9)
    naive = sum(softplus(-e) for e in encoded) / 5
    assert float(encoder_loss.detach()) == pytest.approx(naive, abs=1e-9)


def test_no_gradient_of_the_discriminators_loss_reaches_the_summaries():
    discriminator = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    summary = random(5, 3).float().sigmoid().requires_grad_()
    loss, encoder_loss = prior_losses(discriminator, random(5, 3).float().sigmoid(), summary, 1.0)
    loss.backward()
    assert summary.grad is None
    assert all(p.grad is not None for p in discriminator.parameters() if p.ndim == 2)
    encoder_loss.backward()
    assert summary.grad.abs().max() > 0


def test_shortcut_starts_as_a_copy():
    torch.manual_seed(0)
    network = ScoreNetwork(4, 6)
    x = torch.randn(5, 7, 4)
    copied = network.shortcut(x)[..., :4]
    assert torch.allclose(copied, x, atol=0.2)
    assert network(x).shape == (5, 7, 6)
    assert torch.allclose(network(x).mean(-1), torch.zeros(5, 7), atol=1e-5)


def test_locations_are_scored_one_by_one():
    torch.manual_seed(0)
    network = ScoreNetwork(4, 6).eval()
    x = torch.randn(5, 7, 4)
    assert torch.allclose(network(x)[2, 3], network(x[2, 3][None])[0], atol=1e-5)


@pytest.mark.parametrize("objective", ["jsd", "infonce"])
def test_a_step_moves_encoder_and_discriminator_each_by_its_own_gradient(objective):
    """The discriminator's gradient is that of its loss alone, the encoder's of the rest."""
    stepped, reference = (
        method(objective=objective, optimizer="sgd", momentum=0.0, weight_decay=0.0)
        for _ in range(2)
    )
    h = reference.hyper
    batch, same = batch_of(), batch_of()
    before = {n: p.detach().clone() for n, p in stepped.named_parameters()}
    stepped.update(batch)
    found = reference.alexnet.activations(same.views(("rgb",))["rgb"], "conv3", "fc7")
    summary = reference.summary(found["fc7"])
    scores = (
        reference.local_score(found["conv3"].flatten(2).mT),
        reference.summary_score(summary),
    )
    information = (dim_jsd_loss if objective == "jsd" else dim_infonce_loss)(*scores)
    draws = torch.rand(summary.shape, generator=same.draws("prior"))
    prior = prior_losses(reference.discriminator, draws, summary.sigmoid(), h.prior_penalty)
    encoder_names = [n for n in before if not n.startswith("discriminator.")]
    parameters = dict(reference.named_parameters())
    for names, loss in (
        (encoder_names, information + 0.1 * prior[1]),
        ([n for n in before if n.startswith("discriminator.")], prior[0]),
    ):
        gradients = torch.autograd.grad(
            loss, [parameters[n] for n in names], retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            moved = stepped.get_parameter(name).detach() - before[name]
            expected = torch.zeros_like(moved) if gradient is None else -0.1 * gradient
            assert torch.allclose(moved, expected, atol=1e-5), name


def test_local_features_are_those_of_conv3():
    assert method().local_score.block[0].in_features == round(384 / 32)


@pytest.mark.parametrize(
    ("backbone", "changes", "names"),
    [
        ("resnet18", {}, "alexnet"),
        ("alexnet", {"views": ("l", "ab")}, "view"),
        ("alexnet", {"objective": "dv"}, "objective"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(backbone, changes, names):
    with pytest.raises(UserError, match=names) as error:
        grid().spec("dim", "digits_m", backbone, **changes)
    assert "dim" in str(error.value)
    assert "\n" not in str(error.value)


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("dim", "digits_m", preset="own")
    assert (spec.augmentation, spec.learning_rate, spec.batch_size) == (("none",), 1e-4, 64)
    assert spec.hyper["objective"] == "jsd"
