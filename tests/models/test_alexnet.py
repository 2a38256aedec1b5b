import pytest
import torch
from torch.nn import functional as F

from metaug.models.alexnet import AlexNet
from metaug.models.heads import linear_head


@pytest.fixture(autouse=True)
def seeded_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("channels, published", [(1, 14_840_976), (2, 14_846_784), (3, 14_852_592)])
def test_half_width_has_the_released_number_of_parameters(channels, published):
    with torch.device("meta"):
        encoder = AlexNet(channels, width=0.5, image_size=224)
        head = linear_head(encoder.out_features, 128)
    assert parameters(encoder) + parameters(head) == published


def test_full_width_has_the_classic_channels():
    with torch.device("meta"):
        encoder = AlexNet(3)
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [96, 256, 384, 384, 256]
    assert all(c.bias is None for c in convolutions)
    assert encoder.layer_features == {"conv": 256 * 6 * 6, "fc6": 4096, "fc": 4096}


@pytest.mark.parametrize(
    "size, conv1, conv3, side",
    [(32, 32, 8, 4), (64, 32, 8, 4), (96, 32, 8, 4), (128, 31, 7, 3), (224, 55, 13, 6)],
)
def test_geometry(size, conv1, conv3, side):
    encoder = AlexNet(1, width=1 / 64, image_size=size)
    found = encoder.activations(torch.zeros(2, 1, size, size), "conv1", "conv3", "conv5", "pool5")
    assert found["conv1"].shape == (2, 2, conv1, conv1)
    assert found["conv3"].shape == (2, 6, conv3, conv3)
    assert found["conv5"].shape == (2, 4, conv3, conv3)
    assert found["pool5"].shape == (2, 4, side, side)


@pytest.mark.parametrize("size", [8, 31, 32, 48, 64, 96, 127, 128, 224])
def test_read_outs_have_the_announced_widths(size):
    encoder = AlexNet(2, width=1 / 64, image_size=size).eval()
    images = torch.rand(2, 2, size, size, generator=torch.Generator().manual_seed(0))
    layers = encoder.layers(images)
    assert {name: z.shape for name, z in layers.items()} == {
        name: (2, width) for name, width in encoder.layer_features.items()
    }
    assert encoder.layer_features["fc"] == encoder.out_features
    torch.testing.assert_close(encoder(images), layers["fc"], rtol=0, atol=0)


def test_channels_never_fall_below_one():
    assert AlexNet(1, width=1e-6, image_size=32).layer_features == {"conv": 16, "fc6": 1, "fc": 1}


def test_equals_the_network_written_out_by_hand():
    """Original geometry, the list of layers of CMC's AlexNet, in float64."""
    encoder = AlexNet(1, width=1 / 32, image_size=224).double()
    weights = [w.detach() for w in encoder.parameters()]
    images = torch.rand(
        3, 1, 224, 224, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )

    def normalise(x, weight, bias):
        axes = [0, *range(2, x.ndim)]
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (x - mean) / (variance + 1e-5).sqrt() * weight.view(shape) + bias.view(shape)

    x = images
    convolutions = [(4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True)]
    for stride, padding, pooled in convolutions:
        kernel, gain, offset, *weights = weights
        x = normalise(F.conv2d(x, kernel, stride=stride, padding=padding), gain, offset).relu()
        if pooled:
            x = F.max_pool2d(x, 3, 2)
    conv = x.flatten(1)
    fc = conv
    for _ in range(2):
        matrix, bias, gain, offset, *weights = weights
        fc = normalise(fc @ matrix.T + bias, gain, offset).relu()
    assert not weights
    layers = encoder.layers(images)
    torch.testing.assert_close(layers["conv"], conv, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layers["fc"], fc, rtol=1e-9, atol=1e-9)


def test_activations_stop_at_the_last_stage_asked_for():
    encoder = AlexNet(1, width=1 / 64, image_size=32)
    seen = []
    encoder.stages.fc6.register_forward_hook(lambda *_: seen.append("fc6"))
    encoder.feature_map(torch.zeros(2, 1, 32, 32), "conv5")
    assert seen == []
    encoder.activations(torch.zeros(2, 1, 32, 32), "conv3", "fc7")
    assert seen == ["fc6"]


def test_wrong_inputs_are_named():
    encoder = AlexNet(1, width=1 / 64, image_size=32)
    with pytest.raises(ValueError, match=r"built for \(1, 32, 32\) got \(1, 64, 64\)"):
        encoder(torch.zeros(2, 1, 64, 64))
    with pytest.raises(ValueError, match="no stage named conv6"):
        encoder.feature_map(torch.zeros(2, 1, 32, 32), "conv6")
    with pytest.raises(ValueError, match="at least 8 pixels"):
        AlexNet(1, image_size=4)
