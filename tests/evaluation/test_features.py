import errno
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metaug.data.augment import Augmentation
from metaug.errors import Diverged, UserError
from metaug.evaluation import features as module
from metaug.evaluation.features import Storage, cache_features, require_finite, spread

CPU = torch.device("cpu")


def gaussian(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def method(make_spec, ready):
    return ready(make_spec("simclr")).eval()


def test_features_of_a_split_are_those_of_its_images(method, training_set, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SIZE", 7)
    plain = Augmentation("none", 32)
    cached = cache_features(method, training_set.images, CPU, plain, torch.Generator())
    images = torch.from_numpy(training_set.images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = method.representation(images)
    assert set(cached) == {"conv", "fc6", "fc"}
    for name, values in cached.items():
        assert values.dtype == torch.float32
        assert not values.requires_grad
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)


def test_no_batch_has_a_single_image(make_spec, ready, training_set, monkeypatch):
    """The released variant probes its MAGs with batch norm in train mode, which needs two."""
    monkeypatch.setattr(module, "BATCH_SIZE", 23)
    method = ready(make_spec("metaug", variant="released")).eval()
    plain = Augmentation("none", 32)
    cached = cache_features(method, training_set.images, CPU, plain, torch.Generator())
    assert {len(values) for values in cached.values()} == {24}


def test_augmented_features_differ_and_repeat(method, training_set):
    def features(recipe, seed):
        source = torch.Generator().manual_seed(seed)
        return cache_features(method, training_set.images, CPU, Augmentation(recipe, 32), source)

    first, again, other = (features("cmc", seed)["fc"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, features("none", 0)["fc"])


def test_a_memory_map_is_read_as_it_is(method, training_set, tmp_path):
    np.save(tmp_path / "images.npy", training_set.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    plain = Augmentation("none", 32)
    arguments = (CPU, plain, torch.Generator())
    ours = cache_features(method, mapped, *arguments)
    assert torch.equal(ours["fc"], cache_features(method, training_set.images, *arguments)["fc"])


def test_collapsed_features_have_no_spread_and_rank_one():
    same = gaussian(1, 20).expand(300, 20)
    assert spread(same)["feature_std"] == pytest.approx(0, abs=1e-6)
    assert spread(same)["effective_rank"] == pytest.approx(1, abs=0.01)
    assert spread(torch.zeros(10, 4)) == {"feature_std": 0, "effective_rank": 1}


def test_features_on_a_line_have_rank_one():
    line = gaussian(300, 1) * gaussian(1, 20, seed=1)
    assert spread(line)["effective_rank"] == pytest.approx(1, abs=0.01)


def test_an_isotropic_cloud_has_spread_one_and_almost_full_rank():
    values = spread(gaussian(5000, 20))
    assert values["feature_std"] == pytest.approx(1, abs=0.01)
    assert values["effective_rank"] == pytest.approx(20, rel=0.01)


def test_orthonormal_features_of_both_signs_have_full_rank():
    orthonormal = torch.linalg.qr(gaussian(8, 8).double()).Q
    assert spread(torch.cat([orthonormal, -orthonormal]))["effective_rank"] == pytest.approx(8)


def test_the_effective_rank_is_the_exponential_of_the_entropy_of_singular_values():
    wide, tall = gaussian(30, 50) @ torch.diag(torch.linspace(0.1, 3, 50)), gaussian(50, 30)
    for features in (wide, tall):
        values = np.linalg.svd(features.double() - features.double().mean(0), compute_uv=False)
        share = values[values > 1e-9] / values.sum()
        expected = math.exp(-(share * np.log(share)).sum())
        assert spread(features)["effective_rank"] == pytest.approx(expected, rel=1e-4)


def test_the_spread_does_not_depend_on_the_scale():
    features = gaussian(100, 10) + 1
    assert spread(features * 1000) == pytest.approx(spread(features), rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_features_that_no_probe_can_use_are_named(value):
    """Of 1e30 the square is not finite, and so no cosine."""
    features = gaussian(40, 8)
    require_finite({"conv": features})
    features[3, 2] = value
    with pytest.raises(Diverged, match=r"^the features fc of 1 of 40 images are not finite"):
        require_finite({"conv": gaussian(40, 8), "fc": features})


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the mappings in /proc")
def test_what_exceeds_the_memory_limit_lies_in_files_without_a_name(
    method, training_set, tmp_path, monkeypatch
):
    arguments = (method, training_set.images, CPU, Augmentation("none", 32), torch.Generator())
    expected = cache_features(*arguments)
    (small,) = {values.nbytes for values in expected.values()}
    monkeypatch.setattr(module, "MEMORY_LIMIT", small)
    cached = cache_features(*arguments, Storage(tmp_path / "work"))
    assert all(torch.equal(cached[name], values) for name, values in expected.items())
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = "\n".join(line for line in maps if str(tmp_path) in line)
    assert mapped.count("(deleted)") == len(expected) - 1
    assert list((tmp_path / "work").iterdir()) == []


def test_a_disk_without_room_for_features_is_an_error_of_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"^no room for 5 GB of features in .*: No space left on"):
        Storage(tmp_path).empty(1_200_000, 1024)
