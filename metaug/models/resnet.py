"""ResNet-18 and ResNet-50 of torchvision's blocks, with a width multiplier and small stems."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

ARCHITECTURES = {
    "resnet18": ("BasicBlock", (2, 2, 2, 2)),
    "resnet50": ("Bottleneck", (3, 4, 6, 3)),
}
"""Torchvision's block, and the blocks of each stage."""
FEW_CHANNELS = 8
"""With fewer, a strided 1x1 convolution is computed in another way; see `_SampledFirst`."""


class ResNet(nn.Module):
    """A ResNet without classifier, scaled in all its channels.

    At ``width=1``, ``in_channels=3`` and more than 64 pixels it is torchvision's network: same
    parameter names, same initialisation (He normal, fan-out; the last batch norm of a block starts
    at one, not zero), same features. CMC's network for one
    of two views ("v1") is ``width=0.5`` (MetAug's own ResNet is not published; choice).

    Stems, decided by ``image_size``:

    - 65 pixels and more: 7x7 convolution of stride 2, 3x3 max-pooling of stride 2.
    - 33 to 64 pixels: 3x3 convolution of stride 1, the max-pooling kept (W-MSE protocol for
      STL-10 and Tiny ImageNet).
    - 32 pixels and fewer: 3x3 convolution of stride 1, no max-pooling (the usual CIFAR stem).

    Args:
        name: ``"resnet18"`` or ``"resnet50"``.
        in_channels: channels of the view.
        width: every channel count is ``round(width * full)``, at least 1.
        image_size: height and width of the images in pixels.

    Attributes:
        out_features: number of pooled features, what ``forward`` returns.
        layer_features: number of features of each read-out in ``layers``.
    """

    def __init__(
        self, name: str, in_channels: int, width: float = 1.0, image_size: int = 224
    ) -> None:
        super().__init__()
        # here, because it takes longer to import than all else that a training on AlexNet needs
        from torchvision.models import resnet as torchvision_resnet

        block_name, depths = ARCHITECTURES[name]
        block = getattr(torchvision_resnet, block_name)
        stem, *stages = (max(1, round(width * full)) for full in (64, 64, 128, 256, 512))
        if image_size > 64:
            self.conv1 = nn.Conv2d(in_channels, stem, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, stem, 3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if image_size > 32 else nn.Identity()
        inputs = (stem, *(block.expansion * channels for channels in stages))
        self.layer1 = _stage(block, inputs[0], stages[0], depths[0], stride=1)
        self.layer2 = _stage(block, inputs[1], stages[1], depths[1], stride=2)
        self.layer3 = _stage(block, inputs[2], stages[2], depths[2], stride=2)
        self.layer4 = _stage(block, inputs[3], stages[3], depths[3], stride=2)
        self.out_features = inputs[4]
        self.layer_features = {"pool": self.out_features}
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial weights, as torchvision's ResNets do."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """Return the read-out for probes: ``pool``, the average-pooled features ``(N, D)``."""
        return {"pool": self(x)}

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, in_channels, H, W)`` to average-pooled features ``(N, D)``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))


class _SampledFirst(nn.Conv2d):
    """A 1x1 convolution that leaves out the pixels of its stride before it multiplies.

    The same numbers as its base class. PyTorch 2.14 (oneDNN) writes outside its memory when it
    convolves fewer than `FEW_CHANNELS` with a stride, channels-last, on a CPU without AVX-512.
    """

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        return functional.conv2d(x[:, :, ::down, ::right], self.weight)


def _stage(
    block: "type[BasicBlock] | type[Bottleneck]",
    in_channels: int,
    channels: int,
    depth: int,
    stride: int,
) -> nn.Sequential:
    out_channels = block.expansion * channels
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        convolution = _SampledFirst if in_channels < FEW_CHANNELS else nn.Conv2d
        shortcut = nn.Sequential(
            convolution(in_channels, out_channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    first = block(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(block(out_channels, channels) for _ in range(depth - 1)))
