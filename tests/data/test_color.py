import pytest
import torch
from skimage.color import rgb2lab, rgb2ydbdr

from metaug.data import color
from metaug.data.color import rgb_to_lab, rgb_to_ydbdr

CONVERSIONS = pytest.mark.parametrize(
    ("ours", "theirs"), [(rgb_to_lab, rgb2lab), (rgb_to_ydbdr, rgb2ydbdr)]
)
LAYOUTS = pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])


def reference(theirs, images):
    """scikit-image on (N, 3, H, W), in float64."""
    converted = theirs(images.permute(0, 2, 3, 1).double().numpy())
    return torch.from_numpy(converted).permute(0, 3, 1, 2)


def random_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@CONVERSIONS
@LAYOUTS
def test_random_images_agree_with_scikit_image(ours, theirs, layout):
    images = random_images(5, 3, 24, 31).contiguous(memory_format=layout)
    result = ours(images)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=layout)
    assert (result - reference(theirs, images)).abs().max() < 1e-3


@CONVERSIONS
def test_the_whole_8_bit_cube_in_steps_agrees_with_scikit_image(ours, theirs):
    # Step 5 goes from 0 to 255, and so through black, white, the primaries and both knees.
    levels = torch.arange(0, 256, 5) / 255
    cube = torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij"))
    images = cube.reshape(1, 3, 52, -1)
    assert (ours(images) - reference(theirs, images)).abs().max() < 1e-3


@CONVERSIONS
def test_dark_images_agree_with_scikit_image(ours, theirs):
    images = random_images(2, 3, 64, 64) * 0.1
    assert (ours(images) - reference(theirs, images)).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_primaries_have_their_textbook_lab_values(rgb, lab):
    image = torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)
    assert rgb_to_lab(image).flatten().tolist() == pytest.approx(lab, abs=0.01)


def test_grey_has_no_colour():
    grey = torch.linspace(0, 1, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    lab = rgb_to_lab(grey)
    assert lab[:, 1:].abs().max() < 0.01
    assert (lab[:, 0].flatten().diff() > 0).all()


@CONVERSIONS
def test_a_batch_larger_than_the_cache_is_converted_alike(ours, theirs, monkeypatch):
    images = random_images(7, 3, 16, 16)
    whole = ours(images)
    monkeypatch.setattr(color, "CACHED_PIXELS", 3 * 256)
    torch.testing.assert_close(ours(images), whole, rtol=0, atol=1e-4)


def test_cache_sized_slices_cover_the_batch_once(monkeypatch):
    monkeypatch.setattr(color, "CACHED_PIXELS", 1000)
    for n in (0, 1, 2, 7):
        slices = list(color.cache_sized(torch.empty(n, 3, 20, 20)))
        assert [i for part in slices for i in range(part.start, part.stop)] == list(range(n))


@CONVERSIONS
def test_input_is_left_as_it_was(ours, theirs):
    images = random_images(2, 3, 8, 8)
    before = images.clone()
    ours(images)
    assert torch.equal(images, before)


def test_mixed_precision_does_not_touch_colours():
    images = random_images(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = rgb_to_lab(images)
    assert torch.equal(mixed, rgb_to_lab(images))
