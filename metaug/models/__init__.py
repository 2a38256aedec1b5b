"""Encoders by name. Heads and the MAG are imported from their own files."""

from difflib import get_close_matches

from metaug.errors import UserError
from metaug.models.alexnet import AlexNet
from metaug.models.resnet import ARCHITECTURES, ResNet

__all__ = ["BACKBONES", "AlexNet", "ResNet", "build_encoder"]

BACKBONES = ("alexnet", *ARCHITECTURES)


def build_encoder(
    backbone: str, in_channels: int, width: float = 1.0, image_size: int = 224
) -> AlexNet | ResNet:
    """Return an untrained encoder, initialised from torch's current random state.

    Every encoder has ``forward(x) -> (N, out_features)``, ``layers(x)``, a mapping from probe names
    to features ``(N, D)``, and their sizes, ``out_features`` and ``layer_features``.

    Args:
        backbone: one of ``BACKBONES``.
        in_channels: channels of the view.
        width: multiplies all channel counts.
        image_size: height and width of the images in pixels; decides the geometry.

    Raises:
        UserError: unknown backbone.
    """
    if backbone == "alexnet":
        return AlexNet(in_channels, width, image_size)
    if backbone in ARCHITECTURES:
        return ResNet(backbone, in_channels, width, image_size)
    close = get_close_matches(backbone, BACKBONES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(BACKBONES)}"
    raise UserError(f"unknown backbone {backbone!r}: {hint}")
