"""AlexNet with batch normalisation, in the original and in a small-image geometry."""

from collections import OrderedDict

from torch import Tensor, nn

SMALL_IMAGE_LIMIT = 128
"""From this side length (pixels) on, the original 224-pixel geometry is used."""


class AlexNet(nn.Module):
    """The AlexNet of CMC and MetAug: batch norm and ReLU everywhere, no bias in convolutions.

    Full width is 96-256-384-384-256 channels and two fully connected layers of 4096; the network
    that MetAug and CMC train on each view is ``width=0.5``. Source: reference code of MetAug
    (jiangmengli/metaug, models/alexnet_MetAug.py) and CMC (HobbitLong/CMC). Its last linear layer
    (2048 to 128) is a projection head here: ``heads.linear_head``.

    Two geometries, decided by ``image_size``:

    - 128 pixels and more, the original one: conv1 11x11 stride 4 padding 2, conv2 5x5, the others
      3x3; max-pooling 3 stride 2 after conv1, conv2 and conv5. At 224 pixels conv5 gives 6x6.
    - fewer (choice): all convolutions 3x3, max-pooling 2 after conv1, conv2 and conv5. The stride
      of conv1 is ``image_size // 32``, at least 1, so that 32, 64 and 96 pixels all reach conv2 at
      16x16, conv3 to conv5 at 8x8, and leave conv5 at 4x4.

    Args:
        in_channels: channels of the view.
        width: every channel count is ``round(width * full)``, at least 1.
        image_size: height and width of the images in pixels, at least 8.

    Attributes:
        out_features: width of fc7, what ``forward`` returns.
        layer_features: number of features of each read-out in ``layers``.

    Raises:
        ValueError: images too small to survive three poolings, or an input of another size.
    """

    def __init__(self, in_channels: int, width: float = 1.0, image_size: int = 224) -> None:
        super().__init__()
        if image_size < 8:
            raise ValueError(f"AlexNet needs images of at least 8 pixels, not {image_size}")
        self.input_shape = (in_channels, image_size, image_size)
        c1, c2, c3, c4, c5, f6, f7 = (
            max(1, round(width * full)) for full in (96, 256, 384, 384, 256, 4096, 4096)
        )
        if image_size >= SMALL_IMAGE_LIMIT:
            conv1 = _convolution(in_channels, c1, kernel=11, stride=4, padding=2)
            conv2 = _convolution(c1, c2, kernel=5, padding=2)
            kernel = 3
            side = (image_size + 2 * 2 - 11) // 4 + 1
            for _ in range(3):
                side = (side - 3) // 2 + 1
        else:
            stride = max(1, image_size // 32)
            conv1 = _convolution(in_channels, c1, stride=stride)
            conv2 = _convolution(c1, c2)
            kernel = 2
            side = ((image_size + 2 - 3) // stride + 1) // 2 // 2 // 2
        flat = c5 * side * side
        self.stages = nn.Sequential(
            OrderedDict(
                conv1=conv1,
                pool1=nn.MaxPool2d(kernel, stride=2),
                conv2=conv2,
                pool2=nn.MaxPool2d(kernel, stride=2),
                conv3=_convolution(c2, c3),
                conv4=_convolution(c3, c4),
                conv5=_convolution(c4, c5),
                pool5=nn.MaxPool2d(kernel, stride=2),
                flatten=nn.Flatten(),
                fc6=_fully_connected(flat, f6),
                fc7=_fully_connected(f6, f7),
            )
        )
        self.out_features = f7
        self.layer_features = {"conv": flat, "fc6": f6, "fc": f7}

    def activations(self, x: Tensor, *names: str) -> dict[str, Tensor]:
        """Run once, up to the last stage asked for, and return the output of each stage named.

        ``names`` are stages: ``conv1`` ... ``conv5`` (maps ``(N, C, H, W)`` after ReLU, before any
        pooling), ``pool1``, ``pool2``, ``pool5``, ``flatten`` (``(N, Dc)``), ``fc6``, ``fc7``.
        """
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"AlexNet built for {self.input_shape} got {tuple(x.shape[1:])}")
        missing = set(names)
        if unknown := missing - {name for name, _ in self.stages.named_children()}:
            raise ValueError(f"AlexNet has no stage named {', '.join(sorted(unknown))}")
        found = {}
        for name, stage in self.stages.named_children():
            x = stage(x)
            if name in missing:
                found[name] = x
                missing.remove(name)
                if not missing:
                    break
        return found

    def feature_map(self, x: Tensor, layer: str) -> Tensor:
        """Return the map ``(N, C, H, W)`` of one convolution, after ReLU and before pooling."""
        return self.activations(x, layer)[layer]

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Return the read-outs for probes.

        Args:
            x: images ``(N, in_channels, image_size, image_size)``.

        Returns:
            ``conv``: conv5 after its pooling, flattened, ``(N, Dc)``; ``fc6``: the first fully
            connected layer, which the released code probes, ``(N, Df)``; ``fc``: fc7, ``(N, Df)``
            (choice: the paper's ``fc`` has two linear layers).
        """
        found = self.activations(x, "flatten", "fc6", "fc7")
        return {"conv": found["flatten"], "fc6": found["fc6"], "fc": found["fc7"]}

    def forward(self, x: Tensor) -> Tensor:
        """Return fc7, ``(N, out_features)``."""
        return self.feature_map(x, "fc7")


def _convolution(
    in_channels: int, channels: int, kernel: int = 3, stride: int = 1, padding: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _fully_connected(in_features: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, features), nn.BatchNorm1d(features), nn.ReLU())
