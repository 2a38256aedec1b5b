"""Pictures of one ramp in every mode: what is white stays white, what is black stays black."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from torchvision.transforms.v2 import functional

from metaug.data.decode import SIXTEEN_BITS, WHITE_BACKGROUND, Undecodable, decode, open_image

RAMP = np.tile(np.linspace(0, 255, 16).round().astype(np.uint8), (16, 1))
COLOUR = np.dstack([RAMP, 255 - RAMP, np.full_like(RAMP, 100)])


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data, size=16):
    return decode(lambda: open_image(data), size)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind):
    pixels, done = decoded(encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), kind))
    assert np.array_equal(pixels, np.dstack([RAMP] * 3))
    assert done == (SIXTEEN_BITS,)


def test_16_bit_grey_is_rounded_to_the_nearest_level():
    values = np.array([[0, 128, 129, 385, 386, 65406, 65407, 65535]], np.uint16)
    pixels, _ = decoded(encoded(Image.fromarray(np.tile(values, (8, 1)))), 8)
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 2, 254, 255, 255]


def test_16_bit_grey_tiff_whose_white_is_zero_is_inverted():
    data = encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "I;16"
        assert image.tag_v2[262] == 0
    assert np.array_equal(decoded(data)[0], np.dstack([255 - RAMP] * 3))


def test_12_bit_grey_tiff_is_scaled_by_its_own_white():
    packed = bytes([0xFF, 0xFF, 0xFF, 0x80, 0x00, 0x00] * 2)  # 4095, 4095, 2048 and 0, twice
    entries = [(256, 4, 4), (257, 4, 2), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 200)]
    entries += [(277, 3, 1), (278, 4, 2), (279, 4, 12)]
    data = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little")
    for tag, kind, value in entries:
        data += b"".join(n.to_bytes(w, "little") for n, w in ((tag, 2), (kind, 2), (1, 4)))
        data += value.to_bytes(4, "little")
    data = data.ljust(200, b"\0") + packed
    pixels, done = decoded(data, 2)  # the middle columns
    assert done == (SIXTEEN_BITS,)
    assert pixels[..., 0].tolist() == [[255, 128], [255, 128]]


@pytest.mark.parametrize("dtype, kind", [(np.float32, "floating-point"), (np.int32, "integer")])
def test_grey_levels_without_a_known_white_are_refused(dtype, kind):
    with pytest.raises(Undecodable, match=f"which of its {kind} values is white"):
        decoded(encoded(Image.fromarray(RAMP.astype(dtype)), "TIFF"))


def test_a_drawing_that_is_only_in_the_transparency_is_put_on_white():
    image = Image.fromarray(np.dstack([np.zeros((16, 16, 3), np.uint8), RAMP]))
    pixels, done = decoded(encoded(image))
    assert np.array_equal(pixels, np.dstack([255 - RAMP] * 3))
    assert done == (WHITE_BACKGROUND,)


def test_a_transparent_colour_of_a_palette_becomes_white():
    image = Image.new("P", (16, 16))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(1, (0, 0, 8, 16))
    pixels, done = decoded(encoded(image, transparency=0))
    assert done == (WHITE_BACKGROUND,)
    assert (pixels[:, :8] == [40, 50, 60]).all()
    assert (pixels[:, 8:] == 255).all()


def test_an_opaque_alpha_channel_changes_nothing():
    for image, expected in (
        (Image.fromarray(np.dstack([COLOUR, np.full_like(RAMP, 255)])), COLOUR),
        (Image.fromarray(np.dstack([RAMP, np.full_like(RAMP, 255)]), "LA"), np.dstack([RAMP] * 3)),
    ):
        pixels, done = decoded(encoded(image))
        assert np.array_equal(pixels, expected)
        assert done == ()


def test_black_and_white_palettes_and_cmyk_keep_their_colours():
    one_bit = Image.fromarray(RAMP).convert("1")
    assert np.array_equal(decoded(encoded(one_bit))[0], np.asarray(one_bit.convert("RGB")))
    palette = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(decoded(encoded(palette))[0], np.asarray(palette.convert("RGB")))
    cmyk = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    assert np.abs(decoded(cmyk)[0].astype(int) - COLOUR).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_every_format_gives_the_same_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels, done = decoded(encoded(Image.fromarray(COLOUR), kind, **options))
    assert np.array_equal(pixels, COLOUR)
    assert done == ()


def test_a_camera_s_note_of_the_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, plain = (
        decoded(encoded(Image.fromarray(COLOUR), "JPEG", **options))[0]
        for options in ({"exif": exif}, {})
    )
    assert np.array_equal(turned, plain)


def test_an_eps_does_not_start_ghostscript(monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", pytest.fail)
    with pytest.raises(Undecodable, match="it is none of JPEG"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(Undecodable, match="not an ordinary file"):
        open_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("shape", [(16, 16 * 70), (16 * 70, 16), (1, 3000), (16 * 70, 17)])
def test_an_elongated_image_gives_the_square_of_the_usual_resizing(monkeypatch, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise))
    cropped, _ = decoded(data)
    monkeypatch.setattr("metaug.data.decode._ELONGATED", 10**6)
    whole, _ = decoded(data)
    difference = np.abs(cropped.astype(int) - whole)
    assert difference.mean() < 12, "half a pixel of the result apart at most"
    assert np.corrcoef(cropped.ravel(), whole.ravel())[0, 1] > 0.9


def test_a_line_of_a_million_pixels_needs_no_gigabytes():
    code = (
        "import io, resource, sys\n"
        "from PIL import Image\n"
        "from metaug.data.decode import decode, open_image\n"
        "file = io.BytesIO()\n"
        "Image.new('RGB', (1_000_000, 1), 'red').save(file, 'PNG')\n"
        "limit = int(open('/proc/self/statm').read().split()[0]) * 4096 + 300 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "pixels, _ = decode(lambda: open_image(file.getvalue()), 224)\n"
        "assert (pixels == [255, 0, 0]).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [8, 33])
@pytest.mark.parametrize("shape", [(40, 31), (31, 40), (500, 375), (9, 20), (33, 35), (101, 8)])
def test_other_sizes_give_the_pixels_of_torchvision(shape, size):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    expected = functional.center_crop(functional.resize(noise, [size]), [size, size])
    assert np.array_equal(decoded(encoded(noise), size)[0], np.asarray(expected))
