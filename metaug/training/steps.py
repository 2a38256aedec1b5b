"""The steps of a training: which epoch, which pass over the images and which batch each one is."""

from collections.abc import Iterator
from typing import NamedTuple

from metaug.spec import TrialSpec


class Step(NamedTuple):
    """Where in the training one step is.

    Attributes:
        number: of the step in the whole training, from 0.
        epoch: number of the epoch, from 0.
        pass_index: which of the epoch's passes over the images this is.
        position: number of the batch in its pass, from 0.
        progress: share of the training that is done, in [0, 1). It counts epochs and the position
            in the pass, so that it does not depend on the number of passes.
        is_last_of_epoch: whether the epoch ends with it.
    """

    number: int
    epoch: int
    pass_index: int
    position: int
    progress: float
    is_last_of_epoch: bool


def number_of_steps(spec: TrialSpec, passes: int, images: int) -> int:
    """The steps of a whole training. The images that do not fill a batch are left out of a pass.

    Args:
        spec: gives `epochs` and `batch_size`.
        passes: passes over the images in an epoch.
        images: number of training images.
    """
    return spec.epochs * passes * (images // spec.batch_size)


def steps_of(spec: TrialSpec, passes: int, images: int, first: int = 0) -> Iterator[Step]:
    """The steps of a training from number `first` on; the rest as for `number_of_steps`."""
    per_pass = images // spec.batch_size
    per_epoch = per_pass * passes
    for number in range(first, number_of_steps(spec, passes, images)):
        epoch, within = divmod(number, per_epoch)
        pass_index, position = divmod(within, per_pass)
        progress = (epoch + position / per_pass) / spec.epochs
        yield Step(number, epoch, pass_index, position, progress, within == per_epoch - 1)
