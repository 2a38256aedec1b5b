"""One decoder for all images: what is not an 8-bit image is scaled or refused, never clipped.

A change of the pixels that it gives raises `metaug.data.origin.DECODER`.
"""

import io
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Endings of the files that are taken for images."""

WHITE_BACKGROUND = "with transparency put on white"
SIXTEEN_BITS = "of 16 bits scaled to 8"

# Pillow would choose among forty formats, one of which (EPS) starts Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
_MOST_PIXELS = 2**27  # 400 MB as RGB; the largest cameras have fewer
_ELONGATED = 64  # ratio of the sides from which on an image is cropped while it is resized


class Undecodable(Exception):
    """Why an image cannot be decoded."""


@contextmanager
def pillow_without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large images, for which there is a limit here, and of metadata
    that nothing reads. The filter is the process's: once around all images, not for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def open_image(source: Path | bytes) -> Image.Image:
    """Open an encoded image; only its header is read.

    Raises:
        Undecodable: it is empty, no ordinary file, of no known format or too large.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        size = len(source)
    else:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
            raise Undecodable("it is not an ordinary file")
        size = status.st_size
    if size == 0:
        raise Undecodable("it is empty")
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise Undecodable(f"it is none of {', '.join(_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise Undecodable(f"it has more than {_MOST_PIXELS:,} pixels") from None
    width, height = image.size
    if not 0 < width * height <= _MOST_PIXELS:
        image.close()
        raise Undecodable(
            f"it has {width:,} x {height:,} pixels: 1 to {_MOST_PIXELS:,} are accepted"
        )
    return image


def decode(
    open_it: Callable[[], Image.Image], image_size: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode an image to RGB, resize its shorter side to `image_size` and crop its centre.

    Grey levels are repeated, palettes and CMYK are converted by Pillow without colour profiles,
    16-bit grey is scaled so that white stays white, what is transparent is put on white (choice).
    The orientation that a camera notes in EXIF is ignored, as the usual loaders of these data sets
    do (choice). Of several frames, the first is taken. Floating-point and 32-bit grey are refused:
    nothing says which value is white.

    Args:
        open_it: opens the image.
        image_size: side of the result in pixels; an image of that size keeps its pixels.

    Returns:
        (image_size, image_size, 3) uint8, and what was done to the image beyond that.

    Raises:
        Undecodable: says why.
    """
    try:
        with open_it() as image:
            rgb, done = _rgb(image)
        return np.asarray(_square(rgb, image_size)), done
    except Undecodable:
        raise
    except Exception as error:  # PIL's decoders raise OSError, ValueError, SyntaxError, ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Undecodable(" ".join(reason.split()) or type(error).__name__) from error


def _rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        return _eight_bits(image).convert("RGB"), (SIXTEEN_BITS,)
    if mode == "F" or mode.startswith("I"):
        kind = "floating-point" if mode == "F" else "integer"
        raise Undecodable(
            f"nothing says which of its {kind} values is white: save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if np.asarray(rgba)[..., 3].min() < 255:
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, rgba).convert("RGB"), (WHITE_BACKGROUND,)
    return image.convert("RGB"), ()


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey, or 12-bit in TIFF, scaled to 8 bits; Pillow's own conversion clips at 255."""
    values = np.asarray(image).astype(np.int64)
    white = 65535
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]  # a TIFF image has it
        white = 2 ** tags.get(258, (16,))[0] - 1
        if tags.get(262) == 0:  # white is zero, which Pillow heeds with 8 bits only
            values = white - values
    return Image.fromarray(((values * 510 + white) // (2 * white)).astype(np.uint8))


def _square(rgb: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side (bilinear, antialiased) and crop at the centre.

    The pixels are those of torchvision's `resize` and `center_crop`, whose import takes seconds.
    """
    if rgb.size == (size, size):
        return rgb
    short = min(rgb.size)
    if max(rgb.size) <= _ELONGATED * short:
        width, height = (int(size * side / short) for side in rgb.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
        return resized.crop((left, top, left + size, top + size))
    # The same up to rounding, without the resized image as a whole: that of a line of a million
    # pixels would have gigabytes.
    x, y = ((side - short) / 2 for side in rgb.size)
    box = (x, y, x + short, y + short)
    return rgb.resize((size, size), Image.Resampling.BILINEAR, box=box)
