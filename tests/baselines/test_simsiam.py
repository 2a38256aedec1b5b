"""SimSiam's loss against a naive formula and lightly; its stop-gradient and predictor."""

from pathlib import Path

import lightly.loss
import pytest
import torch

import baselines.simsiam
from baselines.simsiam import simsiam_loss
from metaug.errors import UserError
from metaug.optimizers import set_rate_factor


def embeddings(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 5, generator=generator, dtype=torch.float64)


def test_equals_the_naive_formula():
    p1, p2, z1, z2 = (embeddings(seed) for seed in range(4))
    total = 0.0
    for i in range(6):
        for p, z in ((p1[i], z2[i]), (p2[i], z1[i])):
            total -= float(p @ z / (p.norm() * z.norm())) / 2
    assert float(simsiam_loss(p1, p2, z1, z2)) == pytest.approx(total / 6, abs=1e-8)


def test_is_minus_one_for_equal_and_one_for_opposite_directions():
    z1, z2 = embeddings(0), embeddings(1)
    assert float(simsiam_loss(3 * z2, 2 * z1, z1, z2)) == pytest.approx(-1, abs=1e-9)
    assert float(simsiam_loss(-3 * z2, -2 * z1, z1, z2)) == pytest.approx(1, abs=1e-9)


def test_agrees_with_lightly():
    """Same convention; its criterion is one direction, the recipe's mean of both is the loss."""
    p1, p2, z1, z2 = (embeddings(seed) for seed in range(4))
    criterion = lightly.loss.NegativeCosineSimilarity()
    theirs = 0.5 * (criterion(p1, z2) + criterion(p2, z1))
    assert float(simsiam_loss(p1, p2, z1, z2)) == pytest.approx(float(theirs), abs=1e-9)


def test_gradient_flows_through_the_predictions_alone():
    tensors = [embeddings(seed).requires_grad_() for seed in range(4)]
    simsiam_loss(*tensors).backward()
    assert all(p.grad.abs().sum() > 0 for p in tensors[:2])
    assert all(z.grad is None for z in tensors[2:])


def test_the_method_predicts_the_projection_of_the_other_crop(make_spec, make_batch, ready):
    method = ready(make_spec("simsiam"))
    batch = make_batch(method)
    loss, _ = method.training_step(batch)
    with torch.no_grad():
        z1, z2 = (method.projector(method.encode(crop)) for crop in batch.crops)
        p1, p2 = method.predictor(z1), method.predictor(z2)
    torch.testing.assert_close(loss.detach(), simsiam_loss(p1, p2, z1, z2))
    assert not torch.isclose(loss.detach(), simsiam_loss(p1, p2, z2, z1), atol=1e-3)


def test_the_projections_learn_only_through_the_predictor(make_spec, make_batch, ready):
    """With a predictor that gives a constant, nothing may move the encoder."""
    method = ready(make_spec("simsiam", weight_decay=0.0))
    last = method.predictor[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.ones_(last.bias)
    loss, _ = method.training_step(make_batch(method))
    loss.backward()
    assert last.bias.grad.abs().sum() > 0
    for parameter in (*method.encoder.parameters(), *method.projector.parameters()):
        assert parameter.grad is None or parameter.grad.abs().sum() == 0


def test_the_rate_of_the_predictor_stays_constant(make_spec, ready):
    method = ready(make_spec("simsiam"))
    optimizer = method.optimizers["encoder"]
    set_rate_factor(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in method.named_parameters():
        factor = 1 if name.startswith("predictor.") else 0.1
        assert rates[id(parameter)] == pytest.approx(factor * method.spec.learning_rate)


def test_the_projector_ends_in_batch_norm_without_parameters(make_spec, ready):
    method = ready(make_spec("simsiam"))
    linear, norm = method.projector[-2:]
    assert linear.bias is None
    assert not norm.affine


def test_is_one_file_of_fewer_than_sixty_lines():
    source = Path(baselines.simsiam.__file__).read_text()
    assert len(source.splitlines()) < 60


def test_several_views_are_refused(make_spec):
    with pytest.raises(UserError, match="give it one view"):
        make_spec("simsiam", views=["l", "ab"])


def test_its_own_recipe_is_a_valid_spec(make_spec):
    spec = make_spec("simsiam", "resnet18", preset="own")
    assert (spec.learning_rate, spec.hyper["projector_layers"]) == (0.06, 2)
