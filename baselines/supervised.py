"""Supervised training, end to end: cross-entropy on the labels that every other method ignores."""

from torch import Tensor
from torch.nn import functional as F

from metaug.method import Batch, DataShape, Method, check_one_view
from metaug.models.heads import linear_head
from metaug.spec import TrialSpec


class Supervised(Method):
    """The backbone with a linear classifier on its last representation.

    Its own test accuracy is the probe `end_to_end`; `conv`, `fc` and `pool` are linear probes of
    the frozen network, as for every method. The paper's supervised rows are quoted from the DIM
    paper, whose network and unknown augmentation are others (sheet, section 2.19). There is no
    `own` recipe: the published one is not known.
    """

    name = "supervised"
    crops = 1

    @classmethod
    def check(cls, spec: TrialSpec) -> None:
        check_one_view(spec)

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        self.classifier = linear_head(self.out_features, data.classes)

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        logits = self.classifier(self.encode(batch.crops[0]))
        accuracy = (logits.argmax(1) == batch.labels).float().mean() * 100
        return F.cross_entropy(logits, batch.labels), {"train_top1": accuracy}

    def predict(self, images: Tensor) -> Tensor:
        return self.classifier(self.encode(images))
