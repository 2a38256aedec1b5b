"""NAT: loss, assignment and Sobel map against independent code; a new assignment is kept."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from baselines.nat import best_assignment, nat_loss, sobel
from metaug.config import Config, DatasetScale, Scale
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def unit(*shape, seed=0):
    return F.normalize(random(*shape, seed=seed), dim=-1)


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}, "resnet18": {"width": 1 / 16}},
        spec={"augmentation": "cmc", "batch_size": 8, "epochs": 1, "learning_rate": 0.1},
    )
    return Grid(scale, Config())


def batch_of(index, epoch=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        crops=(torch.rand(len(index), 3, 32, 32, generator=generator),),
        index=torch.tensor(index),
        labels=torch.zeros(len(index), dtype=torch.int64),
        epoch=epoch,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=lambda purpose: generator,
    )


def method(backbone="alexnet", **changes):
    spec = grid().spec("nat", "digits_m", backbone, **{"code_dim": 16, **changes})
    return build_method(spec, DataShape(20, 10), trial=0)


def test_loss_equals_the_naive_formula():
    features, codes = random(6, 5), unit(6, 5, seed=1)
    naive = 0.0
    for b in range(6):
        length = sum(float(v) ** 2 for v in features[b]) ** 0.5
        naive += sum(
            (float(v) / length - float(c)) ** 2 for v, c in zip(features[b], codes[b], strict=True)
        )
    assert float(nat_loss(features, codes)) == pytest.approx(naive / 6, abs=1e-8)


def test_loss_of_a_perfect_match_is_0_and_of_orthogonal_codes_2():
    codes = torch.eye(4)
    assert float(nat_loss(7 * codes, codes)) == pytest.approx(0, abs=1e-6)
    assert float(nat_loss(codes.roll(1, 0), codes)) == pytest.approx(2, abs=1e-6)


def test_no_gradient_flows_into_codes():
    features, codes = random(4, 3).requires_grad_(), unit(4, 3, seed=1).requires_grad_()
    nat_loss(features, codes).backward()
    assert codes.grad is None
    assert features.grad.abs().max() > 0


@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_the_best_of_all_permutations(seed):
    features, codes = unit(6, 4, seed=seed), unit(6, 4, seed=100 + seed)
    scores = (features @ codes.T).numpy()
    best = max(
        sum(scores[b, p] for b, p in enumerate(order)) for order in itertools.permutations(range(6))
    )
    chosen = best_assignment(features, codes)
    assert sorted(chosen.tolist()) == list(range(6))
    assert sum(scores[b, p] for b, p in enumerate(chosen.tolist())) == pytest.approx(best)
    assert best >= np.trace(scores)


def test_sobel_map_is_scipys():
    images = random(2, 3, 7, 9)
    ours = sobel(images)
    assert ours.shape == (2, 2, 7, 9)
    for n in range(2):
        grey = images[n].sum(0).numpy()
        for channel, axis in ((0, 1), (1, 0)):
            theirs = ndimage.sobel(grey, axis=axis, mode="nearest") / 3
            assert np.allclose(ours[n, channel], theirs, atol=1e-10)


def test_sobel_map_of_a_flat_image_is_zero_up_to_the_border():
    assert sobel(torch.full((1, 3, 5, 5), 0.7)).abs().max() < 1e-6


def test_new_assignment_is_written_back_and_used_in_the_same_step():
    built = method().eval()
    batch = batch_of([3, 19, 4, 0, 7, 11, 12, 5])
    before = built.code_of.clone()
    with torch.no_grad():
        features = built.head(built.encoder(built.edges(batch.crops[0])))
        loss, _ = built.training_step(batch)
    after = built.code_of
    assert not torch.equal(before, after)
    assert float(loss) == pytest.approx(
        float(nat_loss(features, built.codes[after[batch.index]])), abs=1e-6
    )
    assert float(loss) < float(nat_loss(features, built.codes[before[batch.index]]))


def test_batches_permute_their_own_codes_and_scores_never_decrease():
    built = method()
    generator = torch.Generator().manual_seed(0)
    for step in range(10):
        index = torch.randperm(20, generator=generator)[:8]
        others = torch.ones(20, dtype=torch.bool)
        others[index] = False
        before = built.code_of.clone()
        features = unit(8, 16, seed=step).float()
        built.reassign(features, index)
        scores = [
            float((features * built.codes[owner[index]]).sum()) for owner in (before, built.code_of)
        ]
        assert scores[1] >= scores[0] - 1e-5
        assert torch.equal(built.code_of[others], before[others])
        assert set(built.code_of[index].tolist()) == set(before[index].tolist())
    assert sorted(built.code_of.tolist()) == list(range(20))


@pytest.mark.parametrize(("epoch", "changes"), [(0, True), (1, False), (2, False), (3, True)])
def test_codes_are_reassigned_in_every_third_epoch_from_the_first(epoch, changes):
    built = method()
    before = built.code_of.clone()
    built.training_step(batch_of(list(range(8)), epoch=epoch))
    assert torch.equal(built.code_of, before) is not changes


def test_codes_stay_fixed_unit_vectors_and_travel_in_checkpoints():
    built = method()
    assert torch.allclose(built.codes.norm(dim=1), torch.ones(20), atol=1e-6)
    assert {"codes", "code_of"} <= set(built.state_dict())
    assert not {"codes", "code_of"} & {name for name, _ in built.named_parameters()}


@pytest.mark.parametrize(
    ("backbone", "readouts"), [("alexnet", {"conv", "fc6", "fc"}), ("resnet18", {"pool"})]
)
def test_both_backbones_read_sobel_maps(backbone, readouts):
    built = method(backbone).eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = built.representation(images)
        # of equal brightness everywhere: no edges, whatever the colour
        flat = built.representation(images[:, :, :1, :1].expand(-1, -1, 32, 32))
    assert set(found) == readouts
    for features in flat.values():
        assert torch.allclose(features, features[:1], atol=1e-5)


def test_several_views_are_refused():
    with pytest.raises(UserError, match="nat"):
        grid().spec("nat", "digits_m", views=("l", "ab"))


def test_own_recipe_is_a_valid_spec():
    spec = grid().spec("nat", "digits_m", preset="own")
    assert (spec.learning_rate, spec.momentum, spec.weight_decay) == (2.56, 0.0, 0.0)
    assert (spec.hyper["code_dim"], spec.hyper["assignment_period"]) == (2048, 3)


def test_each_trial_has_codes_of_its_own():
    spec = grid().spec("nat", "digits_m")
    first, second = (build_method(spec, DataShape(20, 10), trial=trial) for trial in (0, 1))
    assert not torch.equal(first.codes, second.codes)
