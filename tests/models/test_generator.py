import pytest
import torch

from metaug.models.generator import MAG


@pytest.fixture(autouse=True)
def seeded_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rows(n, width):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_has_the_released_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in MAG().parameters()) == 4_731_008


def test_output_lies_on_the_unit_sphere():
    z = MAG(16, 32).double()(rows(10, 16))
    assert z.shape == (10, 16)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(10, dtype=torch.float64))


def test_is_deterministic():
    mag, z = MAG(16, 32).double(), rows(10, 16)
    assert torch.equal(mag(z), mag(z))


def test_equals_the_network_written_out_by_hand():
    mag, x = MAG(16, 32).double(), rows(10, 16)
    w1, b1, g1, o1, w2, b2, g2, o2, w3, b3 = mag.parameters()

    def hidden(x, w, b, g, o):
        x = x @ w.T + b
        variance = x.var(0, unbiased=False)
        return torch.clamp((x - x.mean(0)) / torch.sqrt(variance + 1e-5) * g + o, min=0)

    y = hidden(hidden(x, w1, b1, g1, o1), w2, b2, g2, o2) @ w3.T + b3
    expected = y / y.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(mag(x), expected, rtol=1e-9, atol=1e-12)


def test_zero_embedding_and_zero_weights_stay_finite():
    mag = MAG(16, 32)
    with torch.no_grad():
        for p in mag.parameters():
            p.zero_()
    assert torch.equal(mag(torch.zeros(3, 16)), torch.zeros(3, 16))


@pytest.mark.parametrize("shape", [(4, 15), (4, 2048), (16,), (4, 16, 3, 3)])
def test_another_input_width_is_an_error_not_a_random_layer(shape):
    with pytest.raises(ValueError, match=r"MAG takes embeddings of shape \(N, 16\)"):
        MAG(16, 32)(torch.zeros(shape))
