"""Projection heads and predictors: what stands between an encoder's features and a loss."""

from collections.abc import Sequence

from torch import nn


def linear_head(in_features: int, out_features: int) -> nn.Linear:
    """Return one linear layer: CMC's, MetAug's (its fc8, 2048 to 128) and MoCo v1's projection."""
    return nn.Linear(in_features, out_features)


def mlp(
    dims: Sequence[int],
    *,
    batch_norm: bool = True,
    hidden_bias: bool = True,
    last_bias: bool = True,
    last_batch_norm: bool = False,
    last_affine: bool = True,
) -> nn.Sequential:
    """Return linear layers with batch norm and ReLU between them, and none of both at the end.

    Which method takes which, with ``d`` the encoder's width and the sizes of the method's own paper
    or code (reference code for all except NNCLR, which has none; there lightly's heads):

    ====================  =======================  =================================================
    head                  dims                     arguments that are not the default
    ====================  =======================  =================================================
    SimCLR, 2 layers      d, d, 128                hidden_bias=False, last_bias=False,
                                                   last_batch_norm=True
    SimCLR, 3 layers      d, d, d, 128             hidden_bias=False, last_bias=False,
                                                   last_batch_norm=True
    MoCo v2, InfoMin      d, d, 128                batch_norm=False
    BYOL, both            d, 4096, 256             last_bias=False
    Barlow Twins          d, 8192, 8192, 8192      hidden_bias=False, last_bias=False
    SwAV                  d, 2048, 128
    SimSiam projector     d, d, d, 2048            hidden_bias=False, last_bias=False,
                                                   last_batch_norm=True, last_affine=False
    SimSiam predictor     2048, 512, 2048          hidden_bias=False
    NNCLR projector       d, 2048, 2048, 256       hidden_bias=False, last_bias=False,
                                                   last_batch_norm=True
    NNCLR predictor       256, 4096, 256           hidden_bias=False
    MAG                   128, 2048, 2048, 128
    ====================  =======================  =================================================

    SimCLR's last batch norm has a scale but no offset in the reference code; here it has both
    (choice, as in lightly). That code uses the same layers at both depths; whether the paper's
    two-layer head had batch norm is (unverified).

    Args:
        dims: widths, input first, output last.
        batch_norm: batch norm after each hidden layer.
        hidden_bias: bias in the hidden linear layers (without effect in training where batch norm
            follows, but a parameter that weight decay and parameter counts see).
        last_bias: bias in the last linear layer.
        last_batch_norm: batch norm after the last layer; no ReLU there in any case.
        last_affine: scale and offset in that last batch norm.

    Returns:
        A module from ``(N, dims[0])`` to ``(N, dims[-1])``, not normalised to unit length.

    Raises:
        ValueError: fewer than two widths.
    """
    if len(dims) < 2:
        raise ValueError(f"mlp needs an input and an output width, not {list(dims)}")
    modules: list[nn.Module] = []
    for i in range(len(dims) - 2):
        modules.append(nn.Linear(dims[i], dims[i + 1], bias=hidden_bias))
        if batch_norm:
            modules.append(nn.BatchNorm1d(dims[i + 1]))
        modules.append(nn.ReLU())
    modules.append(nn.Linear(dims[-2], dims[-1], bias=last_bias))
    if last_batch_norm:
        modules.append(nn.BatchNorm1d(dims[-1], affine=last_affine))
    return nn.Sequential(*modules)
