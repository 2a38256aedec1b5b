"""What the job of a training asks of a cluster."""

import pytest

from metaug.data.datasets import DATASETS
from metaug.suite.cluster import BASE_MB, REPRESENTATION, files_mb, memory_mb
from metaug.suite.plan import load_plan


def test_memory_grows_with_images_networks_and_copies() -> None:
    grid = load_plan({"scale": "full"}).grid
    simclr = grid.spec("simclr", "cifar10")
    # 60,000 images, 12,288 numbers of 4 bytes, twice
    cifar10 = DATASETS["cifar10"]
    assert memory_mb(simclr, cifar10) - BASE_MB == pytest.approx(5_898, abs=1)
    assert memory_mb(simclr, cifar10, processes=2) - memory_mb(simclr, cifar10) == BASE_MB
    three_views = memory_mb(grid.spec("metaug", "cifar10"), cifar10) - BASE_MB
    assert three_views == pytest.approx(1.5 * 5_898, abs=1)
    probe = simclr.probe.model_copy(update={"augmented_copies": 2})
    copies = memory_mb(simclr.model_copy(update={"probe": probe}), cifar10) - BASE_MB
    assert copies == pytest.approx(2 * 5_898, abs=1)


def test_memory_is_bounded_and_the_rest_lies_in_files() -> None:
    """SimCLR on ImageNet: three read-outs of 16,384 numbers in all, 1.28 million images."""
    grid = load_plan({"scale": "full"}).grid
    imagenet = grid.spec("simclr", "imagenet")
    whole = DATASETS["imagenet"]
    assert memory_mb(imagenet, whole) < 25_000
    assert files_mb(imagenet, whole) == pytest.approx(
        4 * 16_384 * 1.331e6 / 1e6, rel=0.001
    )
    assert files_mb(grid.spec("simclr", "cifar10"), DATASETS["cifar10"]) == 0


def test_memory_is_known_of_every_data_set_and_backbone() -> None:
    assert all(dataset.training_images and dataset.test_images for dataset in DATASETS.values())
    for scale in ("smoke", "lite", "full"):
        plan = load_plan({"scale": scale})
        assert {spec.backbone for spec in plan.specs.values()} <= REPRESENTATION.keys()
        assert all(plan.memory_mb(key) > BASE_MB for key in plan.specs if scale != "smoke")
