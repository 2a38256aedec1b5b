"""Every method learns at the smoke scale: its loss falls and its features do not collapse.

The data, networks and hyper-parameters are those of smoke, on half of its images and epochs so that
the test is quick; the whole trainings are Extra 5.
"""

from functools import cache
from pathlib import Path

import pytest
import torch

from metaug.config import load_config
from metaug.data.arrays import open_prepared
from metaug.data.augment import Augmentation
from metaug.data.prepare import prepare
from metaug.evaluation.features import cache_features, spread
from metaug.grid import Grid
from metaug.method import registered_methods
from metaug.training.images import TrainingSet
from metaug.training.loop import train
from metaug.training.runtime import Runtime

SCALES = Path(__file__).parents[1] / "config/scales"
IMAGES, EPOCHS = 640, 3
NO_YARDSTICK = ("bigan", "infomin")
"""BiGAN's encoder plays against an adversary. InfoMin's crops are so unlike each other that at this
size its loss only follows its queue, which fills with ever harder keys."""

NOISE_AT_FIRST = ("moco", "looc", "metaug_oucl")
"""Their queue or bank begins as noise, from which everything is told easily: the loss rises until
it is filled and falls from then on."""

PROBED = 256
MIN_RANK, MIN_STD = 40, 0.2
"""Of the `conv` features of that many test images: one encoder has 128, so that its rank is at most
128 and its spread about 1. A method that learns has a rank of 65 and a spread of 0.39 or more."""


@pytest.fixture(scope="module")
def smoke():
    config, scale = load_config({"scale": "smoke"}, SCALES)
    return Grid(scale, config)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The data set by the side of its images, each prepared once."""

    @cache
    def prepared(image_size):
        folder = tmp_path_factory.mktemp("digits")
        prepare("digits_m", image_size, folder, None, ())
        return open_prepared(folder)

    return prepared


@pytest.mark.parametrize("name", [n for n, kind in registered_methods().items() if kind.trained])
def test_the_loss_falls_and_features_stay_apart(name, smoke, digits, tmp_path):
    epochs = EPOCHS + 2 * (name in NOISE_AT_FIRST)
    spec = smoke.spec(name, "digits_m", train_images=IMAGES, epochs=epochs)
    prepared = digits(spec.image_size)
    data = TrainingSet.of(prepared.train, spec, 0, 10)
    cpu = torch.device("cpu")
    method, curve = train(spec, 0, data, tmp_path, Runtime(cpu, progress=False))
    losses = [epoch["loss"] for epoch in curve]
    if name not in NO_YARDSTICK:
        assert losses[-1] < (max(losses) if name in NOISE_AT_FIRST else losses[0])
    plain, unused = Augmentation("none", spec.image_size), torch.Generator()
    images = prepared.test.images[:PROBED]
    features = cache_features(method.eval(), images, cpu, plain, unused)["conv"]
    found = spread(features)
    assert found["effective_rank"] > MIN_RANK
    assert found["feature_std"] > MIN_STD
