import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from metaug.models.resnet import ResNet


@pytest.fixture(autouse=True)
def seeded_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(params=["resnet18", "resnet50"])
def name(request):
    return request.param


def torchvision_features(name):
    network = getattr(torchvision.models, name)(weights=None)
    network.fc = nn.Identity()
    return network


def test_width_one_is_torchvisions_network(name):
    reference = torchvision_features(name)
    ours = ResNet(name, in_channels=3, image_size=65)
    ours.load_state_dict(reference.state_dict())  # strict: the same names and shapes
    images = torch.rand(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), reference(images), rtol=1e-5, atol=1e-6)
    assert ours.out_features == {"resnet18": 512, "resnet50": 2048}[name]


def test_initialisation_has_torchvisions_scale(name):
    reference = dict(torchvision_features(name).named_parameters())
    ours = dict(ResNet(name, in_channels=3).named_parameters())
    for key, weight in ours.items():
        expected = reference[key]
        if weight.ndim == 4:
            assert weight.std().item() == pytest.approx(expected.std().item(), rel=0.05), key
        else:
            assert torch.equal(weight, expected), key


def test_width_scales_every_channel(name):
    with torch.device("meta"):
        full = ResNet(name, 3).state_dict()
        half = ResNet(name, 3, width=0.5).state_dict()
    for key, value in full.items():
        if key.endswith("num_batches_tracked"):
            continue
        assert half[key].shape[0] * 2 == value.shape[0], key
        if value.ndim == 4 and key != "conv1.weight":
            assert half[key].shape[1] * 2 == value.shape[1], key


@pytest.mark.parametrize(
    "size, kernel, stride, stem_side, last_side",
    [(32, 3, 1, 32, 4), (64, 3, 1, 32, 4), (96, 7, 2, 24, 3), (224, 7, 2, 56, 7)],
)
def test_stem_follows_the_image_size(size, kernel, stride, stem_side, last_side):
    network = ResNet("resnet18", 2, width=1 / 32, image_size=size)
    assert network.conv1.weight.shape == (2, 2, kernel, kernel)
    assert network.conv1.stride == (stride, stride)
    sides = {}
    network.maxpool.register_forward_hook(lambda m, i, o: sides.update(stem=o.shape[-1]))
    network.layer4.register_forward_hook(lambda m, i, o: sides.update(last=o.shape[-1]))
    network(torch.zeros(2, 2, size, size))
    assert sides == {"stem": stem_side, "last": last_side}


def test_read_out_is_the_pooled_feature(name):
    network = ResNet(name, 1, width=1 / 16, image_size=32).eval()
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    layers = network.layers(images)
    assert {key: z.shape for key, z in layers.items()} == {"pool": (3, network.out_features)}
    assert network.layer_features == {"pool": network.out_features}
    torch.testing.assert_close(layers["pool"], network(images), rtol=0, atol=0)


def test_a_narrow_shortcut_is_a_strided_convolution_and_damages_no_memory():
    """With 2 to 6 channels PyTorch's own one ended in an abort on CPUs without AVX-512."""
    for channels in (2, 4, 6):
        network = ResNet("resnet18", 3, width=channels / 64, image_size=32)
        network.to(memory_format=torch.channels_last)
        shortcut = network.layer2[0].downsample[0]
        x = torch.randn(8, channels, 32, 32).to(memory_format=torch.channels_last)
        plain = F.conv2d(x.contiguous(), shortcut.weight.contiguous(), stride=2)
        torch.testing.assert_close(shortcut(x), plain)
        for _ in range(20):
            network(torch.randn(8, 3, 32, 32)).sum().backward()
