"""Linear probe: a softmax classifier on frozen, standardised representations."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaug.errors import Diverged
from metaug.evaluation import features
from metaug.spec import ProbeSpec


class Probed(NamedTuple):
    """What a linear probe found.

    Attributes:
        numbers: accuracies in per cent.
        hits: (M,), in how many of the averaged epochs each test image was classified correctly;
            their mean is `top1`.
    """

    numbers: dict[str, float]
    hits: Tensor


def linear_probe(
    train: Sequence[tuple[Tensor, Tensor]],
    test: tuple[Tensor, Tensor],
    classes: int,
    spec: ProbeSpec,
    generator: torch.Generator,
    device: torch.device,
) -> Probed:
    """Train a linear classifier and measure it on the test set after every epoch.

    Features are standardised with the training set's mean and standard deviation (of the first
    copy), all at once or, where they are more than `features.MEMORY_LIMIT`, batch by batch;
    constant ones are only centred. The optimiser is Adam; weights start at zero.

    Args:
        train: features (N, D) and labels (N,); several augmented copies take turns, one an epoch.
        test: features (M, D) and labels (M,).
        classes: number of classes.
        spec: epochs, batch size, learning rate, weight decay, averaged epochs.
        generator: source of the order of the training features.
        device: where the probe is trained.

    Returns:
        The hits of each image, and accuracies in per cent: `top1` and `top5`, the mean over the
        last `averaged_epochs` epochs (the paper's result of a trial), `top1_last`, and `top1_best`,
        which peeks at the test set (the released code reports it) and `probe_train_top1` of the
        last epoch. `top5` is left
        out where there are fewer than six classes.

    Raises:
        Diverged: the classifier's weights are not finite; its accuracies would look like chance.
    """
    in_memory = sum(x.nbytes for x, _ in train) <= features.MEMORY_LIMIT
    mean = train[0][0].mean(0)
    deviation = train[0][0].std(0)
    # a constant feature deviates by its mean's rounding error only: do not blow that up
    scale = torch.where(deviation > 1e-6 * mean.abs(), deviation, 1.0)

    def standardised(x: Tensor) -> Tensor:
        return (x - mean).div_(scale).to(device)

    read = [_reader(x, standardised, in_memory) for x, _ in train]
    labels = [y.to(device) for _, y in train]
    test_x, test_y = (standardised(test[0]), test[1].to(device))
    weight = nn.Parameter(torch.zeros(classes, test_x.shape[1], device=device))
    bias = nn.Parameter(torch.zeros(classes, device=device))
    optimizer = torch.optim.Adam(
        [weight, bias], lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    top1, top5 = [], []
    hits_of_images = torch.zeros(len(test_y), dtype=torch.int64, device=device)
    correct = torch.zeros((), device=device)
    for epoch in range(spec.epochs):
        x, y = read[epoch % len(read)], labels[epoch % len(read)]
        correct.zero_()
        for rows in torch.randperm(len(y), generator=generator).to(device).split(spec.batch_size):
            logits = F.linear(x(rows), weight, bias)
            correct += (logits.argmax(1) == y[rows]).sum()
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits, y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            ranked = F.linear(test_x, weight, bias).topk(min(5, classes)).indices
            hits = ranked == test_y[:, None]
            if epoch >= spec.epochs - spec.averaged_epochs:
                hits_of_images += hits[:, 0]
            top1.append(float(hits[:, 0].float().mean()) * 100)
            top5.append(float(hits.any(1).float().mean()) * 100)
    if not torch.isfinite(weight).all():
        raise Diverged("the weights of the linear probe are not finite; lower probe.learning_rate")
    averaged = spec.averaged_epochs
    result = {
        "top1": sum(top1[-averaged:]) / len(top1[-averaged:]),
        "top1_last": top1[-1],
        "top1_best": max(top1),
        "probe_train_top1": float(correct) / len(labels[0]) * 100,
    }
    if classes > 5:
        result["top5"] = sum(top5[-averaged:]) / len(top5[-averaged:])
    return Probed(result, hits_of_images)


def _reader(
    x: Tensor, standardised: Callable[[Tensor], Tensor], in_memory: bool
) -> Callable[[Tensor], Tensor]:
    """What reads the standardised rows of features (N, D) with given numbers, (B,)."""
    if in_memory:
        whole = standardised(x)
        return lambda rows: whole[rows]
    return lambda rows: standardised(x[rows.cpu()])
