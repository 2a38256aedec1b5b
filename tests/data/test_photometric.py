import pytest
import torch
from torchvision.transforms import functional

from metaug.data.photometric import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    gaussian_blur,
    grayscale,
    solarize,
)

FACTORS = torch.tensor([0.0, 0.2, 0.7, 1.0, 1.4, 1.8])
SHIFTS = torch.tensor([-0.5, -0.21, 0.0, 0.1, 0.33, 0.5])


def images():
    """Random images; the last two have grey pixels, and colours with two equal channels."""
    generator = torch.Generator().manual_seed(0)
    result = torch.rand(6, 3, 12, 10, generator=generator)
    result[4] = result[4, :1]
    result[5] = (result[5] > 0.5).float()
    return result


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (adjust_brightness, functional.adjust_brightness, FACTORS),
        (adjust_contrast, functional.adjust_contrast, FACTORS),
        (adjust_saturation, functional.adjust_saturation, FACTORS),
        (adjust_hue, functional.adjust_hue, SHIFTS),
        (adjust_hue, functional.adjust_hue, SHIFTS.flip(0)),
    ],
)
def test_adjustments_agree_with_torchvision(ours, theirs, factors):
    result = ours(images(), factors)
    for image, factor, adjusted in zip(images(), factors.tolist(), result, strict=True):
        torch.testing.assert_close(adjusted, theirs(image, factor), rtol=0, atol=1e-5)


def test_grayscale_agrees_with_torchvision():
    torch.testing.assert_close(grayscale(images()), functional.rgb_to_grayscale(images()))


def test_solarize_agrees_with_torchvision():
    assert torch.equal(solarize(images()), functional.solarize(images(), 0.5))


def test_blur_agrees_with_torchvision():
    sigmas = [0.1, 0.5, 1.0, 1.5, 2.0, 0.3]
    result = gaussian_blur(images(), torch.tensor(sigmas), radius=2)
    for image, sigma, blurred in zip(images(), sigmas, result, strict=True):
        expected = functional.gaussian_blur(image, [5, 5], [sigma, sigma])
        torch.testing.assert_close(blurred, expected, rtol=0, atol=1e-5)


def test_hue_keeps_the_largest_and_the_smallest_channel():
    result = adjust_hue(images(), SHIFTS)
    torch.testing.assert_close(result.amax(1), images().amax(1))
    torch.testing.assert_close(result.amin(1), images().amin(1))


@pytest.mark.parametrize(
    "adjust", [adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue]
)
def test_input_is_left_as_it_was(adjust):
    batch = images()
    adjust(batch, SHIFTS)
    assert torch.equal(batch, images())
