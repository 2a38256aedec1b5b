"""The hits of a probe survive as a short text, and nothing else is taken for one."""

import base64
import zlib

import pytest
import torch

from metaug.hits import MOST_IMAGES, decode_hits, encode_hits


def test_hits_come_back_and_are_small() -> None:
    hits = torch.randint(0, 21, (10_000,), generator=torch.Generator().manual_seed(0))
    assert decode_hits(encode_hits(hits)).tolist() == hits.tolist()
    certain = torch.where(hits > 10, 20, 0)
    assert len(encode_hits(certain)) < 3_000


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        base64.b64encode(b"not compressed").decode(),
        base64.b64encode(zlib.compress(bytes(range(200)))[:-8]).decode(),
        base64.b64encode(zlib.compress(bytes(MOST_IMAGES + 1))).decode(),
    ],
)
def test_what_is_no_text_of_hits_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_hits(text)
