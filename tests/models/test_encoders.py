"""What holds for every encoder."""

import pytest
import torch

from metaug.errors import UserError
from metaug.models import BACKBONES, build_encoder


def seeded(backbone, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_encoder(
            backbone, **{"in_channels": 3, "width": 1 / 16, "image_size": 32} | options
        )


@pytest.fixture(params=BACKBONES)
def backbone(request):
    return request.param


def test_announces_its_features(backbone):
    encoder = seeded(backbone)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert encoder(images).shape == (4, encoder.out_features)
    assert {k: z.shape[1] for k, z in encoder.layers(images).items()} == encoder.layer_features


def test_same_random_state_same_weights(backbone):
    one, two = seeded(backbone).state_dict(), seeded(backbone).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_memory_format_changes_nothing(backbone):
    encoder = seeded(backbone).double()
    images = torch.rand(
        4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    expected = {key: value.detach() for key, value in encoder.layers(images).items()}
    encoder.to(memory_format=torch.channels_last)
    found = encoder.layers(images.contiguous(memory_format=torch.channels_last))
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-9, atol=1e-9)


def test_unknown_backbone_is_one_line_with_a_suggestion():
    with pytest.raises(UserError, match=r"unknown backbone 'resnet-18': did you mean 'resnet18'\?"):
        build_encoder("resnet-18", 3)
    with pytest.raises(UserError, match="choose one of alexnet, resnet18, resnet50"):
        build_encoder("vit", 3)
