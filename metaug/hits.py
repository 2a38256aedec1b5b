"""Which test images a probe gets right, as a short text that a record can hold.

A trial's accuracy is a mean over test images and over the last epochs of the probe. For each image
the number of these epochs is kept in which it was classified correctly, one byte an image. So the
noise that comes from the choice of test images can be told from that between trials.
"""

import base64
import zlib

import numpy as np
import torch
from torch import Tensor

MOST_IMAGES = 2**24
"""Test images that a text may speak of: nothing larger is unpacked."""


def encode_hits(hits: Tensor) -> str:
    """The text of one number for each image, (M,) in [0, 255]."""
    data = zlib.compress(hits.to(torch.uint8).cpu().numpy().tobytes(), level=9)
    return base64.b64encode(data).decode()


def decode_hits(text: str) -> np.ndarray:
    """The numbers (M,) of a text, in the order of the test images.

    Raises:
        ValueError: it is not what `encode_hits` writes.
    """
    unpacked = zlib.decompressobj()
    try:
        data = unpacked.decompress(base64.b64decode(text, validate=True), MOST_IMAGES)
    except zlib.error as error:
        raise ValueError(f"not the text of hits: {error}") from error
    if not unpacked.eof:
        raise ValueError(f"hits are cut short, or of more than {MOST_IMAGES:,} images")
    return np.frombuffer(data, dtype=np.uint8)
