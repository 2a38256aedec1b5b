import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from metaug.errors import Diverged
from metaug.evaluation.linear_probe import linear_probe
from metaug.spec import ProbeSpec

CPU = torch.device("cpu")


def gaussians(n, classes, spread, dim=10, seed=0):
    """Features of very different scales in `classes` Gaussian clusters, and labels."""
    means = torch.randn(classes, dim, generator=torch.Generator().manual_seed(42))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    features = means[labels] + spread * torch.randn(n, dim, generator=generator)
    return features * 10 ** torch.linspace(-2, 2, dim) + 3, labels


def probed(train, test, classes, seed=0, **settings):
    spec = ProbeSpec(**settings)
    copies = train if isinstance(train, list) else [train]
    return linear_probe(copies, test, classes, spec, torch.Generator().manual_seed(seed), CPU)


def probe(train, test, classes, seed=0, **settings):
    return probed(train, test, classes, seed, **settings).numbers


def test_hits_are_the_accuracy_image_by_image():
    train, test = gaussians(200, 4, 1.5), gaussians(300, 4, 1.5, seed=1)
    numbers, hits = probed(train, test, 4, epochs=6, averaged_epochs=5, learning_rate=0.01)
    assert hits.shape == (300,) and 0 <= hits.min() < hits.max() == 5
    assert float(hits.double().mean()) / 5 * 100 == pytest.approx(numbers["top1"])
    once = probed(train, test, 4, epochs=6, averaged_epochs=1, learning_rate=0.01).hits
    assert set(once.tolist()) == {0, 1}
    assert ((hits == 5) <= (once == 1)).all()  # right in all of the last five, so in the last


@pytest.mark.parametrize("classes, spread", [(3, 0.3), (4, 1.0), (8, 1.0)])
def test_top1_is_scikit_learns_within_a_point(classes, spread):
    train, test = gaussians(1600, classes, spread), gaussians(2000, classes, spread, seed=1)
    scaler = StandardScaler().fit(train[0])
    reference = LogisticRegression(C=1e4, max_iter=1000).fit(scaler.transform(train[0]), train[1])
    expected = 100 * reference.score(scaler.transform(test[0]), test[1])
    ours = probe(
        train, test, classes, epochs=60, averaged_epochs=20, batch_size=128, learning_rate=0.01
    )
    assert ours["top1"] == pytest.approx(expected, abs=1)
    assert ours["probe_train_top1"] == pytest.approx(
        100 * reference.score(scaler.transform(train[0]), train[1]), abs=1
    )


def naive_epochs(train, test, classes, spec, seed):
    """Accuracies on the test set after each epoch: top-1, top-5; plain torch modules."""
    mean, std = train[0].mean(0), train[0].std(0)
    x, test_x = (train[0] - mean) / std, (test[0] - mean) / std
    layer = torch.nn.Linear(x.shape[1], classes)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), spec.learning_rate)
    generator, top1, top5 = torch.Generator().manual_seed(seed), [], []
    for _ in range(spec.epochs):
        for rows in torch.randperm(len(x), generator=generator).split(spec.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(layer(x[rows]), train[1][rows]).backward()
            optimizer.step()
        order = layer(test_x).argsort(1, descending=True)
        top1.append(100 * (order[:, 0] == test[1]).float().mean().item())
        top5.append(100 * (order[:, :5] == test[1][:, None]).any(1).float().mean().item())
    return top1, top5


def test_the_result_is_the_mean_of_the_last_epochs():
    train, test = gaussians(200, 8, 2.0), gaussians(300, 8, 2.0, seed=1)
    spec = ProbeSpec(epochs=7, averaged_epochs=3, batch_size=32, learning_rate=0.01)
    with torch.random.fork_rng():
        top1, top5 = naive_epochs(train, test, 8, spec, seed=5)
    ours = probe(train, test, 8, seed=5, **spec.model_dump(exclude={"protocol"}))
    assert len(set(top1)) > 2
    assert ours["top1"] == pytest.approx(sum(top1[-3:]) / 3, rel=1e-5)
    assert ours["top5"] == pytest.approx(sum(top5[-3:]) / 3, rel=1e-5)
    assert ours["top1_last"] == pytest.approx(top1[-1], rel=1e-5)
    assert ours["top1_best"] == pytest.approx(max(top1), rel=1e-5)


def test_more_averaged_epochs_than_epochs_average_all():
    train, test = gaussians(100, 3, 1.0), gaussians(100, 3, 1.0, seed=1)
    few = probe(train, test, 3, epochs=3, averaged_epochs=20)
    all_three = probe(train, test, 3, epochs=3, averaged_epochs=3)
    assert few == all_three


@pytest.mark.parametrize("classes, has_top5", [(3, False), (5, False), (6, True)])
def test_top5_is_left_out_where_it_says_nothing(classes, has_top5):
    train, test = gaussians(60, classes, 1.0), gaussians(60, classes, 1.0, seed=1)
    assert ("top5" in probe(train, test, classes, epochs=1, averaged_epochs=1)) == has_top5


def test_augmented_copies_take_turns():
    """The second copy has its labels turned: after the first epoch the probe is right, after the
    second, which sees that copy alone, it is not."""
    (x, y), test = gaussians(400, 3, 0.2), gaussians(400, 3, 0.2, seed=1)
    copies = [(x, y), (x, (y + 1) % 3)]
    settings = {"averaged_epochs": 1, "learning_rate": 0.5, "batch_size": 20}
    assert probe(copies, test, 3, epochs=1, **settings)["top1"] > 90
    assert probe(copies, test, 3, epochs=2, **settings)["top1"] < 10
    assert probe(copies, test, 3, epochs=3, **settings)["top1"] > 90


def test_the_probe_repeats_itself_with_an_equal_generator():
    train, test = gaussians(200, 4, 2.0), gaussians(300, 4, 2.0, seed=1)
    first, again, other = (
        probe(train, test, 4, seed=seed, epochs=2, averaged_epochs=1, batch_size=16)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_the_global_random_state_and_the_features_are_left_alone():
    train, test = gaussians(50, 3, 1.0), gaussians(50, 3, 1.0, seed=1)
    copies = train[0].clone(), test[0].clone()
    before = torch.get_rng_state()
    probe(train, test, 3, epochs=1, averaged_epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(train[0], copies[0])
    assert torch.equal(test[0], copies[1])


def test_a_constant_feature_does_no_harm():
    """A unit that is dead on the training images, whose mean is not exact in float32, and that
    moves a little on the test images."""
    train, test = gaussians(400, 3, 0.2), gaussians(400, 3, 0.2, seed=1)
    dead = torch.full((400, 1), 5.1)
    moved = dead + 0.01 * torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    with_dead = torch.cat([train[0], dead], 1), train[1]
    with_moved = torch.cat([test[0], moved], 1), test[1]
    settings = {"epochs": 20, "averaged_epochs": 5, "batch_size": 16, "learning_rate": 0.01}
    without = probe(train, test, 3, **settings)["top1"]
    assert probe(with_dead, with_moved, 3, **settings)["top1"] == pytest.approx(without, abs=1)


def test_weight_decay_shrinks_what_the_probe_learns():
    train, test = gaussians(400, 3, 0.2), gaussians(400, 3, 0.2, seed=1)
    settings = {"epochs": 5, "averaged_epochs": 1}
    assert probe(train, test, 3, weight_decay=1e3, **settings) != probe(train, test, 3, **settings)


def test_a_probe_that_diverges_does_not_look_like_chance():
    train, test = gaussians(100, 4, 0.3), gaussians(100, 4, 0.3, seed=1)
    with pytest.raises(Diverged, match="the weights of the linear probe are not finite"):
        probe(train, test, 4, learning_rate=1e30, weight_decay=1e20, epochs=5, averaged_epochs=1)
