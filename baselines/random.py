"""The untrained encoder: a floor that every trained method must clear."""

from collections.abc import Iterable

from torch import Tensor
from torch.optim.swa_utils import update_bn

from metaug.data.views import make_views
from metaug.method import Batch, Method


class Random(Method):
    """Encoders with the weights that they start with, at the width and for the views of the spec.

    One pass over the training crops sets the running statistics of batch norm and nothing else, so
    that this is the network from which a training starts. With the statistics that its layers are
    built with (mean 0, variance 1) it would have no normalisation, and its fc features would be
    read out better by 4 points (CIFAR-10, lite scale) than those of the network that is trained.
    """

    name = "random"
    version = 2
    number_of_views = "any"
    crops = 1
    trained = False

    def forward(self, crops: Tensor) -> None:
        """Show the views of RGB crops (N, 3, S, S) to the encoders."""
        for view, images in make_views(crops, self.spec.views).items():
            self.encoder_of(view)(images)

    def warm_up(self, batches: Iterable[Batch]) -> None:
        update_bn((batch.crops[0] for batch in batches), self)
