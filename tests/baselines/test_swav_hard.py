"""SwAV + Hard: SwAV's loss plus the hard-negative loss of the same embeddings."""

import pytest
import torch

from baselines.hard import hard_negative_loss
from metaug.errors import UserError


def loss_of(ready, make_spec, make_batch, method, **changes):
    built = ready(make_spec(method, **changes))
    batch = make_batch(built)
    loss, logs = built.training_step(batch)
    return built, batch, loss, logs


def test_without_weight_it_is_swav(make_spec, make_batch, ready):
    *_, swav, _ = loss_of(ready, make_spec, make_batch, "swav")
    *_, plain, _ = loss_of(ready, make_spec, make_batch, "swav_hard", hard_weight=0.0)
    assert float(plain.detach()) == pytest.approx(float(swav.detach()), rel=1e-6)


def test_it_adds_the_hard_negative_loss_of_the_two_crops(make_spec, make_batch, ready):
    changes = {"hard_weight": 0.7, "hard_temperature": 0.3, "tau_plus": 0.1, "hard_beta": 2.0}
    method, batch, loss, logs = loss_of(ready, make_spec, make_batch, "swav_hard", **changes)
    z1, z2 = method.embed(batch)
    expected = logs["swapped_prediction"] + 0.7 * hard_negative_loss(z1, z2, 0.3, 0.1, 2.0)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_both_losses_move_the_encoder(make_spec, make_batch, ready):
    gradients = []
    for weight in (0.0, 1.0):
        method, _, loss, _ = loss_of(ready, make_spec, make_batch, "swav_hard", hard_weight=weight)
        loss.backward()
        gradients.append(next(method.encoder.parameters()).grad)
    assert gradients[0].abs().sum() > 0
    assert not torch.allclose(*gradients)


def test_what_swav_refuses_is_refused(make_spec):
    with pytest.raises(UserError, match="swav_hard: queue_size 20 is not a multiple"):
        make_spec("swav_hard", queue_size=20)


def test_nobody_published_a_recipe_of_it(make_spec):
    with pytest.raises(UserError, match="swav_hard has no preset 'own'"):
        make_spec("swav_hard", "resnet18", preset="own")
