import math

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import RandomResizedCrop, functional

from metaug.data import color
from metaug.data.geometry import crop_boxes, crop_flip_rotate, gaussian_taps, resample
from metaug.data.operations import Crop


def random_images(n, height, width, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    if dtype == torch.uint8:
        return torch.randint(256, (n, 3, height, width), generator=generator, dtype=dtype)
    return torch.rand(n, 3, height, width, generator=generator)


def transform(images, size, boxes=None, flip=None, turns=None):
    n, _, height, width = images.shape
    boxes = np.tile((0, 0, height, width), (n, 1)) if boxes is None else np.array(boxes)
    flip = np.zeros(n, bool) if flip is None else np.array(flip)
    turns = np.zeros(n, int) if turns is None else np.array(turns)
    return crop_flip_rotate(images, size, boxes[:, :2], boxes[:, 2:], flip, turns)


BOXES = [(0, 0, 20, 31), (3, 5, 1, 1), (2, 7, 18, 24), (11, 0, 9, 13), (4, 4, 16, 16)]


def test_whole_image_at_its_size_is_the_identity():
    images = random_images(3, 16, 16, torch.uint8)
    torch.testing.assert_close(transform(images, 16), images / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [16, 40])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_boxes_agree_with_torchvision(size, layout):
    images = random_images(len(BOXES), 20, 31).contiguous(memory_format=layout)
    result = transform(images, size, BOXES)
    for image, box, cropped in zip(images, BOXES, result, strict=True):
        expected = functional.resized_crop(image, *box, [size, size], antialias=False)
        torch.testing.assert_close(cropped, expected, rtol=0, atol=1e-4)


def test_uint8_and_float_images_give_the_same():
    images = random_images(len(BOXES), 20, 31, torch.uint8)
    torch.testing.assert_close(
        transform(images, 16, BOXES), transform(images / 255, 16, BOXES), rtol=0, atol=1e-6
    )


def test_flip_and_quarter_turns_are_exact():
    images = random_images(8, 16, 16)
    flip, turns = [False, True] * 4, [0, 0, 1, 1, 2, 2, 3, 3]
    result = transform(images, 16, flip=flip, turns=turns)
    for image, flipped, turned, moved in zip(images, flip, turns, result, strict=True):
        expected = image.flip(2) if flipped else image
        assert torch.equal(moved, expected.rot90(turned, (1, 2)))


def test_one_resampling_equals_crop_then_flip_then_turn():
    n = len(BOXES)
    images = random_images(n, 20, 31)
    flip, turns = [True, False, True, True, False], [1, 2, 3, 0, 1]
    result = transform(images, 12, BOXES, flip, turns)
    expected = transform(transform(transform(images, 12, BOXES), 12, flip=flip), 12, turns=turns)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


def test_flip_twice_is_the_identity():
    images = random_images(2, 16, 16)
    twice = transform(transform(images, 16, flip=[True] * 2), 16, flip=[True] * 2)
    assert torch.equal(twice, images)


def test_a_batch_larger_than_the_cache_is_transformed_alike(monkeypatch):
    images = random_images(7, 20, 20)
    boxes = [(i, i, 20 - 2 * i, 20 - i) for i in range(7)]
    flip, turns = [True, False, True, True, False, False, True], [1, 2, 3, 0, 1, 2, 3]
    whole = transform(images, 12, boxes, flip, turns)
    monkeypatch.setattr(color, "CACHED_PIXELS", 3 * 400)
    assert torch.equal(transform(images, 12, boxes, flip, turns), whole)


def drawn_boxes(n, height, width, area, seed=0):
    params = Crop(area).draw(n, torch.Generator().manual_seed(seed))
    values = {key: value.numpy() for key, value in params.items()}
    corner, extent = crop_boxes(**values, height=height, width=width)
    return values, np.concatenate([corner, extent], 1)


def box_by_definition(areas, ratios, position, height, width):
    """torchvision's loop over the tries, with given random numbers."""
    for area, ratio in zip(areas.tolist(), ratios.tolist(), strict=True):
        h = round(math.sqrt(area * height * width / ratio))
        w = round(math.sqrt(area * height * width * ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(position[0] * (height - h + 1)), int(position[1] * (width - w + 1)), h, w
    if width / height < 3 / 4:
        h, w = round(width / (3 / 4)), width
    elif width / height > 4 / 3:
        h, w = height, round(height * (4 / 3))
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    ("height", "width", "areas"),
    [(32, 32, (0.2, 1.0)), (224, 224, (0.08, 1.0)), (20, 90, (0.2, 1.0)), (90, 20, (0.5, 1.0))],
)
def test_boxes_follow_the_definition(height, width, areas):
    values, boxes = drawn_boxes(500, height, width, areas)
    for i, box in enumerate(boxes):
        area, ratio, position = (values[key][i] for key in ("area", "ratio", "position"))
        assert box_by_definition(area, ratio, position, height, width) == tuple(box)


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (100, 90)])
def test_where_no_try_fits_the_box_is_central_as_in_torchvision(height, width):
    # An area of more than the image never fits.
    area = (1.5, 2.0)
    box = RandomResizedCrop.get_params(torch.empty(3, height, width), area, (3 / 4, 4 / 3))
    _, boxes = drawn_boxes(3, height, width, area)
    assert (boxes == np.array(box)).all()


@pytest.mark.parametrize("quantity", ["area", "ratio", "top", "left"])
def test_boxes_are_distributed_as_those_of_torchvision(quantity):
    n, side, area = 4000, 224, (0.2, 1.0)
    _, ours = drawn_boxes(n, side, side, area, seed=1)
    image = torch.empty(3, side, side)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = np.array(
            [RandomResizedCrop.get_params(image, area, (3 / 4, 4 / 3)) for _ in range(n)]
        )

    def measure(boxes):
        top, left, height, width = boxes.T
        values = {
            "area": height * width,
            "ratio": np.log(width / height),
            # Positions as shares of the room that the box leaves; whole boxes have none.
            "top": top[height < side] / (side - height[height < side]),
            "left": left[width < side] / (side - width[width < side]),
        }
        return values[quantity]

    assert stats.ks_2samp(measure(ours), measure(theirs)).pvalue > 0.01


def test_every_sample_has_its_own_box():
    _, boxes = drawn_boxes(64, 224, 224, (0.2, 1.0))
    assert len(np.unique(boxes, axis=0)) == 64


@pytest.mark.parametrize("radius", [1, 3])
def test_gaussian_taps_blur_as_torchvision(radius):
    images, sigma = random_images(3, 20, 24), torch.tensor([0.1, 0.7, 2.0])
    rows, columns = gaussian_taps(sigma, radius, 20), gaussian_taps(sigma, radius, 24)
    blurred = resample(images, rows, columns)
    for image, s, result in zip(images, sigma.tolist(), blurred, strict=True):
        expected = functional.gaussian_blur(image, [2 * radius + 1] * 2, [s, s])
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
