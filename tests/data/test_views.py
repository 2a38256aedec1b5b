import pytest
import torch
from skimage.color import rgb2lab, rgb2ydbdr
from torchvision.transforms import functional

from metaug.data import color
from metaug.data.augment import Augmentation
from metaug.data.views import VIEWS, make_views
from metaug.errors import UserError

LAB = ((50, 6.025, -6.6895), (50, 92.208, 101.1675))
YDBDR = ((0.457, -0.082, -0.052), (0.5, 1.331, 1.333))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def random_images(n=4, size=16, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def by_scikit_image(images, convert, normalization):
    converted = torch.from_numpy(convert(images.permute(0, 2, 3, 1).double().numpy()))
    mean, std = (torch.tensor(values) for values in normalization)
    return ((converted - mean) / std).permute(0, 3, 1, 2).float()


def test_names_and_channels():
    assert VIEWS == {"rgb": 3, "l": 1, "ab": 2, "lab": 3, "y": 1, "dbdr": 2}


def test_every_view_agrees_with_scikit_image():
    images = random_images()
    lab = by_scikit_image(images, rgb2lab, LAB)
    ydbdr = by_scikit_image(images, rgb2ydbdr, YDBDR)
    expected = {
        "rgb": functional.normalize(images, *IMAGENET),
        "l": lab[:, :1],
        "ab": lab[:, 1:],
        "lab": lab,
        "y": ydbdr[:, :1],
        "dbdr": ydbdr[:, 1:],
    }
    views = make_views(images, VIEWS)
    for name, channels in VIEWS.items():
        assert views[name].shape == (4, channels, 16, 16)
        torch.testing.assert_close(views[name], expected[name], rtol=0, atol=1e-5)


def test_views_are_channels_last_whatever_the_input():
    for layout in (torch.channels_last, torch.contiguous_format):
        images = random_images().contiguous(memory_format=layout)
        for view in make_views(images, VIEWS).values():
            assert view.is_contiguous(memory_format=torch.channels_last)


def test_views_come_in_the_order_asked_for():
    assert list(make_views(random_images(), ("ab", "rgb", "l"))) == ["ab", "rgb", "l"]


def test_lab_is_computed_once_for_all_its_views(monkeypatch):
    calls = []
    power = color._power_

    def counted(values, exponent):
        calls.append(exponent)
        return power(values, exponent)

    monkeypatch.setattr(color, "_power_", counted)
    make_views(random_images(), ("l",))
    once = len(calls)
    make_views(random_images(), ("l", "ab", "lab", "rgb"))
    assert len(calls) == 2 * once > 0


def test_rgb_and_ydbdr_views_do_not_compute_lab(monkeypatch):
    monkeypatch.delattr(color, "_power_")
    make_views(random_images(), ("rgb", "y", "dbdr"))


def test_an_unknown_view_is_one_clear_line():
    with pytest.raises(UserError, match=r"^unknown view 'lba': did you mean 'lab'\?$"):
        make_views(random_images(), ("lba",))


def test_conversion_comes_after_the_geometric_augmentation():
    images = random_images(8)
    crop = Augmentation("crop", 16)
    params = crop.draw(8, torch.Generator().manual_seed(1))
    cropped = crop.apply(images, params)
    view = make_views(cropped, ("lab",))["lab"]
    torch.testing.assert_close(view, by_scikit_image(cropped, rgb2lab, LAB), rtol=0, atol=1e-5)
    # The other order gives other numbers, since Lab is not linear in RGB.
    whole = make_views(images, ("lab",))["lab"]
    assert (crop.apply(whole, params) - view).abs().max() > 0.05


def test_conversion_comes_after_the_photometric_augmentation():
    grey = Augmentation("grey", 16)
    params = {"grey": {"chosen": torch.tensor([True, False])}}
    ab = make_views(grey.apply(random_images(2), params), ("ab",))["ab"]
    without_colour = torch.tensor([-6.025 / 92.208, 6.6895 / 101.1675]).view(2, 1, 1)
    assert (ab[0] - without_colour).abs().max() < 1e-4
    assert (ab[1] - without_colour).abs().max() > 0.1


def test_normalization_comes_last():
    black_and_white = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    lightness = make_views(black_and_white, ("l",))["l"]
    assert lightness[:, 0, 0, 0].tolist() == pytest.approx([-1, 1], abs=1e-4)
