"""Split-brain autoencoder: bins, targets and loss against independent code; no cross-talk."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from baselines.splitbrain import AB_BINS, L_BINS, ab_bins, quantize, splitbrain_loss
from metaug.config import Config, DatasetScale, Scale
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.seeds import draws_of


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 16}},
        spec={"augmentation": "cmc", "batch_size": 8, "epochs": 1, "learning_rate": 0.1},
    )
    return Grid(scale, Config())


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def batch_of(crop):
    return Batch(
        crops=(crop,),
        index=torch.arange(len(crop)),
        labels=torch.zeros(len(crop), dtype=torch.int64),
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=draws_of(0),
    )


def method():
    return build_method(grid().spec("splitbrain", "digits_m"), DataShape(8, 10), trial=0)


def test_uniform_predictions_give_ln_313_plus_ln_100():
    targets = torch.zeros(2, 4, 4, dtype=torch.int64)
    loss = splitbrain_loss(
        torch.full((2, AB_BINS, 4, 4), 3.0), torch.full((2, L_BINS, 4, 4), -1.0), targets, targets
    )
    assert float(loss) == pytest.approx(math.log(313) + math.log(100), abs=1e-5)
    assert float(loss) == pytest.approx(10.3514, abs=1e-4)


def test_loss_equals_the_naive_sum_over_pixels():
    ab_logits = random(2, AB_BINS, 3, 2).double() * 4
    l_logits = random(2, L_BINS, 3, 2, seed=1).double() * 4
    ab_target = (random(2, 3, 2, seed=2) * AB_BINS).long()
    l_target = (random(2, 3, 2, seed=3) * L_BINS).long()
    total = 0.0
    for logits, target in ((ab_logits, ab_target), (l_logits, l_target)):
        for n in range(2):
            for y in range(3):
                for x in range(2):
                    scores = [math.exp(v) for v in logits[n, :, y, x].tolist()]
                    total -= math.log(scores[int(target[n, y, x])] / sum(scores)) / 12
    ours = splitbrain_loss(ab_logits, l_logits, ab_target, l_target)
    assert float(ours) == pytest.approx(total, abs=1e-8)


def test_bins_are_313_grid_points_and_hold_every_colour():
    bins = ab_bins().numpy()
    assert bins.shape == (313, 2)
    assert len(np.unique(bins, axis=0)) == 313
    assert (bins % 10 == 0).all()
    colours = np.random.default_rng(0).random((50_000, 1, 3))
    points = np.unique(np.round(rgb2lab(colours)[:, 0, 1:] / 10), axis=0) * 10
    assert {tuple(p) for p in points} <= {tuple(b) for b in bins}


def test_targets_are_the_nearest_bins_of_each_pixel():
    rgb = random(2, 3, 4, 4)
    ab_target, l_target = quantize(rgb, (4, 4))
    lab = rgb2lab(rgb.permute(0, 2, 3, 1).double().numpy())
    bins = ab_bins().numpy()
    for n in range(2):
        for y in range(4):
            for x in range(4):
                distance = ((bins - lab[n, y, x, 1:]) ** 2).sum(1)
                assert distance[int(ab_target[n, y, x])] <= distance.min() + 1e-2
                assert int(l_target[n, y, x]) == int(lab[n, y, x, 0])


def test_white_is_in_the_last_bin_of_lightness():
    assert int(quantize(torch.ones(1, 3, 2, 2), (1, 1))[1]) == L_BINS - 1


def test_targets_are_quantised_after_down_sampling():
    """A chequerboard of red and cyan is grey from afar; no pixel of it is."""
    red, cyan = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    rgb = torch.where(board[None, None].bool(), red[None, :, None, None], cyan[None, :, None, None])
    ab_target, _ = quantize(rgb, (4, 4))
    bins = ab_bins()
    assert torch.equal(bins[ab_target], torch.zeros(1, 4, 4, 2))
    ab_full, _ = quantize(rgb, (8, 8))
    assert (bins[ab_full].norm(dim=-1) > 20).all()


def test_halves_share_nothing():
    """The loss of one half moves its own network and head only."""
    built = method()
    views = batch_of(random(8, 3, 32, 32)).views(("l", "ab"))
    built.predictions("l", views["l"]).square().mean().backward()
    moved = {name for name, p in built.named_parameters() if p.grad is not None}
    assert moved == {
        name for name, _ in built.named_parameters() if name.startswith(("encoders.l.", "heads.l."))
    }


def test_each_half_sees_its_own_channels_only():
    """Blank chroma: what L predicts stays, what ab predicts changes."""
    built = method().eval()
    views = batch_of(random(8, 3, 32, 32)).views(("l", "ab"))
    with torch.no_grad():
        before = {view: built.predictions(view, views[view]) for view in ("l", "ab")}
        views["ab"].zero_()
        after = {view: built.predictions(view, views[view]) for view in ("l", "ab")}
    assert torch.equal(before["l"], after["l"])
    assert not torch.allclose(before["ab"], after["ab"])


def test_l_predicts_ab_and_ab_predicts_l_at_the_resolution_of_conv5():
    built = method()
    views = batch_of(random(8, 3, 32, 32)).views(("l", "ab"))
    assert built.predictions("l", views["l"]).shape == (8, 313, 8, 8)
    assert built.predictions("ab", views["ab"]).shape == (8, 100, 8, 8)


def test_gradient_reaches_every_layer_that_is_probed():
    built = method()
    built.training_step(batch_of(random(8, 3, 32, 32)))[0].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in built.parameters())


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"views": ("rgb",)}, r"\[l, ab\]"),
        ({"views": ("y", "dbdr")}, r"\[l, ab\]"),
        ({"views": ("rgb", "l", "ab")}, r"\[l, ab\]"),
        ({"backbone": "resnet18"}, "alexnet"),
    ],
)
def test_contradictory_specs_are_refused_in_one_line(changes, names):
    backbone = changes.pop("backbone", "alexnet")
    with pytest.raises(UserError, match=names) as error:
        grid().spec("splitbrain", "digits_m", backbone, **changes)
    assert "splitbrain" in str(error.value)
    assert "\n" not in str(error.value)
