import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from metaug.data.digits_m import CLASS_NAMES, _enlarge, make_digits_m


@pytest.fixture(scope="module")
def digits_m():
    return make_digits_m()


def test_shapes_and_types(digits_m):
    assert {name: images.shape for name, (images, _) in digits_m.items()} == {
        "train": (1297, 32, 32, 3),
        "test": (500, 32, 32, 3),
    }
    for images, labels in digits_m.values():
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert labels.shape == images.shape[:1]


def test_it_has_ten_classes_and_fifty_test_images_of_each(digits_m):
    assert list(CLASS_NAMES) == list("0123456789")
    assert np.bincount(digits_m["test"][1]).tolist() == [50] * 10


def test_every_digit_is_in_exactly_one_split(digits_m):
    together = np.concatenate([labels for _, labels in digits_m.values()])
    assert np.array_equal(np.bincount(together), np.bincount(load_digits().target))
    images = np.concatenate([images for images, _ in digits_m.values()])
    assert len({image.tobytes() for image in images}) == 1797


def test_it_is_the_same_to_the_byte_every_time(digits_m):
    digests = {
        f"{name} {part}": hashlib.sha256(array.tobytes()).hexdigest()
        for name, arrays in digits_m.items()
        for part, array in zip(("images", "labels"), arrays, strict=True)
    }
    assert digests == {
        "train images": "aa53deb991ba6a16c3c05c5fe1ba0b47244fc524c99cb5f7ad7bf823bafba9ea",
        "train labels": "4da37bf1a579e8fc7980813ebb1c50464b249a1197eeb556fd9dc1eb3b987560",
        "test images": "cebb2b0115a1c230411c4d1f6a7a1f048d360f1c30261e774476b926f7d21a14",
        "test labels": "e1b1adcf5a008be12a5d9dd867d87dfb19a3b36fcf8879d573603d6cb7102644",
    }


def test_enlarging_is_cubic_convolution():
    digits = load_digits().images[:200]
    enlarged = _enlarge(digits.astype(np.int64))
    for digit, large in zip(digits, enlarged, strict=True):
        image = Image.fromarray((digit * (255 / 16)).astype(np.float32), mode="F")
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).clip(0, 255)
        inside = slice(6, -6)  # the two treat the edge differently
        assert np.abs(large - expected)[inside, inside].max() < 1 + 1e-3


def test_the_digits_can_be_recognised(digits_m):
    images, labels = digits_m["train"]
    test_images, test_labels = digits_m["test"]
    neighbours = KNeighborsClassifier(5).fit(images.reshape(len(images), -1), labels)
    assert neighbours.score(test_images.reshape(len(test_images), -1), test_labels) > 0.6


def test_the_images_are_colourful(digits_m):
    images = digits_m["train"][0].astype(int)
    spread = (images.max(axis=-1) - images.min(axis=-1)).mean(axis=(1, 2))
    assert spread.mean() > 30
