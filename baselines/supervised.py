"""Supervised training, end to end: cross-entropy on the labels that every other method ignores."""

from torch import Tensor
from torch.nn import functional as F

from metaug.method import Batch, DataShape, Method
from metaug.models.heads import linear_head
from metaug.spec import TrialSpec


def supervised_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of class scores with the labels.

    Args:
        logits: class scores, (N, classes).
        labels: (N,) int64.

    Returns:
        Mean over the batch, a scalar >= 0; ln(classes) for equal scores.
    """
    return F.cross_entropy(logits, labels)


class Supervised(Method):
    """The backbone with a linear classifier on its last representation.

    Its own test accuracy is the probe `end_to_end`; `conv`, `fc` and `pool` are linear probes of
    the frozen network, as for every method. The paper's supervised rows are quoted from the DIM
    paper, whose network is another and whose augmentation is not known; so there is no `own`
    recipe.
    """

    name = "supervised"
    crops = 1

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        self.classifier = linear_head(self.out_features, data.classes)

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        logits = self.classifier(self.encode(batch.crops[0]))
        accuracy = (logits.argmax(1) == batch.labels).float().mean() * 100
        return supervised_loss(logits, batch.labels), {"train_top1": accuracy}

    def predict(self, images: Tensor) -> Tensor:
        return self.classifier(self.encode(images))
