"""OUCL, factorised, against the double sum of Eq. 10: `python -m benchmarks.oucl`."""

import torch
from torch import Tensor

from benchmarks.timing import interleaved, print_ratios
from metaug.losses import oucl_loss

BETA, GAMMA = 16.0, 0.4


def double_sum(positives: Tensor, negatives: Tensor) -> Tensor:
    """Eq. 10 as it is written, over all pairs of a positive (N, K+) and a negative (N, K-)."""
    exponent = BETA * ((positives[:, :, None] - 1) ** 2 + negatives[:, None, :] ** 2 - 2 * GAMMA**2)
    return (torch.log(1 + exponent.exp().sum((1, 2))) / BETA).mean()


def main() -> None:
    """Forward and backward pass at the paper's size: 64 images, 6 directions, 4096 negatives."""
    generator = torch.Generator().manual_seed(0)
    positives = torch.rand(64, 6, generator=generator).requires_grad_()
    negatives = torch.rand(64, 6 * 4096, generator=generator).requires_grad_()
    inputs = (positives, negatives)
    seconds = interleaved(
        {
            "double sum": lambda: torch.autograd.grad(double_sum(*inputs), inputs),
            "factorised": lambda: torch.autograd.grad(
                oucl_loss(*inputs, beta=BETA, gamma=GAMMA), inputs
            ),
        },
        rounds=7,
    )
    print_ratios("OUCL, 64 images, 6 x 4096 negatives", seconds, "double sum")


if __name__ == "__main__":
    main()
