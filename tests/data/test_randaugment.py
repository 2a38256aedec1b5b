import pytest
import torch
from torchvision.transforms import InterpolationMode, RandAugment, autoaugment

from metaug.data.randaugment import (
    COLOR_PRESERVING,
    FILL,
    GEOMETRIC,
    MAX_LEVEL,
    OPERATIONS,
    apply_operations,
)

UINT8_OPERATIONS = ("Posterize", "Equalize")
SIDE = 32


def uint8_images(n=6):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    images[1] = images[1] // 3 + 60
    images[2, 0] = 7
    return images


def by_torchvision(image, name, level, sign):
    """The operation on one uint8 image (3, H, W), as float in [0, 1]."""
    magnitudes, signed = RandAugment()._augmentation_space(31, (SIDE, SIDE))[name]
    magnitude = float(magnitudes[level]) if magnitudes.ndim else 0.0
    magnitude *= sign if signed else 1
    bilinear = InterpolationMode.BILINEAR
    if name in UINT8_OPERATIONS:
        return autoaugment._apply_op(image, name, magnitude, bilinear, None) / 255
    if name == "Solarize":
        magnitude /= 255
    # Where the border cuts a pixel, torchvision weights it twice if it is given a fill colour.
    fill = torch.tensor(FILL)[:, None, None] if name in GEOMETRIC else 0
    return autoaugment._apply_op(image / 255 - fill, name, magnitude, bilinear, None) + fill


@pytest.mark.parametrize("level", [0, 9, 17, 30])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_agrees_with_torchvision(name, sign, level):
    images = uint8_images()
    strength = torch.full((len(images),), sign * level / MAX_LEVEL)
    result = apply_operations(images / 255, [name] * len(images), strength)
    for image, changed in zip(images, result, strict=True):
        expected = by_torchvision(image, name, level, sign)
        torch.testing.assert_close(changed, expected, rtol=0, atol=1e-4)


def test_names_are_those_of_torchvision():
    assert set(OPERATIONS) == set(RandAugment()._augmentation_space(31, (SIDE, SIDE)))
    assert set(COLOR_PRESERVING) < set(OPERATIONS)


def test_a_mixed_batch_is_its_samples_one_by_one():
    images = uint8_images(len(OPERATIONS)) / 255
    strength = torch.linspace(-1, 1, len(images))
    together = apply_operations(images, OPERATIONS, strength)
    for i, name in enumerate(OPERATIONS):
        alone = apply_operations(images[i : i + 1], [name], strength[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)


def test_input_is_left_as_it_was():
    images = uint8_images(len(OPERATIONS)) / 255
    before = images.clone()
    apply_operations(images, OPERATIONS, torch.ones(len(images)))
    assert torch.equal(images, before)
