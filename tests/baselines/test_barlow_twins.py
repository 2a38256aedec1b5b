"""Barlow Twins' loss against a naive formula, lightly and its known values."""

import lightly.loss
import pytest
import torch

from baselines.barlow_twins import barlow_twins_loss
from metaug.errors import UserError


def embeddings(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("lambda_", [0.0, 5e-3, 1.0])
def test_equals_the_naive_formula(lambda_):
    """Loops over the matrix; 1e-5 is batch norm's addition to the variance."""
    z1, z2 = embeddings(7, 4), 2 + 3 * embeddings(7, 4, seed=1)
    n, d = z1.shape

    def standardised(z):
        columns = []
        for j in range(d):
            mean = sum(float(z[b, j]) for b in range(n)) / n
            variance = sum((float(z[b, j]) - mean) ** 2 for b in range(n)) / n
            columns.append([(float(z[b, j]) - mean) / (variance + 1e-5) ** 0.5 for b in range(n)])
        return columns

    s1, s2 = standardised(z1), standardised(z2)
    total = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(a * b for a, b in zip(s1[i], s2[j], strict=True)) / n
            total += (1 - c) ** 2 if i == j else lambda_ * c**2
    assert float(barlow_twins_loss(z1, z2, lambda_)) == pytest.approx(total, abs=1e-8)


def test_agrees_with_lightly():
    """Same convention: batch norm of each crop, biased variance, sum over the matrix."""
    z1, z2 = embeddings(16, 6), embeddings(16, 6, seed=1)
    theirs = lightly.loss.BarlowTwinsLoss(lambda_param=5e-3)(z1, z2)
    assert float(barlow_twins_loss(z1, z2, 5e-3)) == pytest.approx(float(theirs), abs=1e-9)


def test_is_zero_for_identical_whitened_embeddings():
    centred = embeddings(32, 6)
    whitened, _ = torch.linalg.qr(centred - centred.mean(0))
    # the variance is far above the 1e-5 that is added to it
    assert float(barlow_twins_loss(1e4 * whitened, 1e4 * whitened, 1.0)) == pytest.approx(
        0, abs=1e-9
    )


def test_each_crop_is_standardised_by_itself():
    """Any scale and shift of a dimension of one crop leaves the loss; taken together the two crops
    would have another mean."""
    z1, z2 = 1e3 * embeddings(16, 6), 1e3 * embeddings(16, 6, seed=1)
    scale, shift = 1 + 5 * torch.rand(6, generator=torch.Generator().manual_seed(0)).double(), 1e4
    before = float(barlow_twins_loss(z1, z2, 0.1))
    assert float(barlow_twins_loss(z1, scale * z2 + shift, 0.1)) == pytest.approx(before, abs=1e-6)


def test_the_standard_deviation_is_the_biased_one():
    """With the unbiased one the diagonal of equal crops would stop at (N - 1) / N."""
    z = 1e3 * embeddings(4, 1 + 1)
    assert float(barlow_twins_loss(z, z, 0.0)) == pytest.approx(0, abs=1e-9)


def test_independent_crops_give_the_expected_mean():
    n, d, lambda_ = 64, 32, 0.5
    losses = [
        float(
            barlow_twins_loss(
                embeddings(n, d, seed=2 * k), embeddings(n, d, seed=2 * k + 1), lambda_
            )
        )
        for k in range(40)
    ]
    expected = d * (1 + 1 / n) + lambda_ * d * (d - 1) / n
    assert sum(losses) / 40 == pytest.approx(expected, rel=0.03)


def test_gradient_flows_through_both_crops():
    z1, z2 = embeddings(8, 4).requires_grad_(), embeddings(8, 4, seed=1).requires_grad_()
    barlow_twins_loss(z1, z2, 0.1).backward()
    assert z1.grad.abs().sum() > 0
    assert z2.grad.abs().sum() > 0


def test_the_method_correlates_the_projections_of_two_crops(make_spec, make_batch, ready):
    method = ready(make_spec("barlow_twins", off_diagonal_weight=0.3, loss_scale=0.2))
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        z1, z2 = (method.projector(method.encode(crop)) for crop in batch.crops)
    torch.testing.assert_close(loss.detach(), 0.2 * barlow_twins_loss(z1, z2, 0.3))


def test_the_loss_of_a_step_is_scaled(make_spec, make_batch, ready):
    losses = []
    for scale in (1.0, 0.05):
        method = ready(make_spec("barlow_twins", loss_scale=scale))
        losses.append(float(method.update(make_batch(method))["loss"]))
    assert losses[1] == pytest.approx(0.05 * losses[0], rel=1e-6)


def test_the_projector_has_as_many_layers_as_asked_for(make_spec, ready):
    for layers in (2, 3):
        method = ready(make_spec("barlow_twins", projector_layers=layers))
        linear = [m for m in method.projector if isinstance(m, torch.nn.Linear)]
        assert len(linear) == layers


def test_several_views_are_refused(make_spec):
    with pytest.raises(UserError, match="give it one view"):
        make_spec("barlow_twins", views=["l", "ab"])


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("barlow_twins", "resnet18", preset="own")
    assert (spec.hyper["projector_layers"], spec.hyper["loss_scale"]) == (2, 1.0)
