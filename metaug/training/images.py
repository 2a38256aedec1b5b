"""The images of one trial: those that it is trained on, and those that it is judged on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metaug.data.arrays import Prepared, Split, balanced_subset
from metaug.errors import UserError
from metaug.seeds import subset_generator, validation_generator
from metaug.spec import TrialSpec


@dataclass(frozen=True)
class TrainingSet:
    """The training images of one trial: a class-balanced subset of a split."""

    images: np.ndarray
    labels: Tensor
    classes: int

    @classmethod
    def of(cls, split: Split, spec: TrialSpec, trial: int, classes: int) -> "TrainingSet":
        """The subset of trial `trial`: the same for all methods.

        Where a validation part is held out, the subset comes from the rest.
        """
        rows = np.arange(len(split.labels))
        if spec.probe.split == "validation":
            rows = np.setdiff1d(rows, validation_rows(split.labels, trial))
        elif spec.train_images is None:
            return cls(split.images, torch.from_numpy(split.labels), classes)
        if spec.train_images is not None:
            generator = subset_generator(trial)
            rows = rows[balanced_subset(split.labels[rows], spec.train_images, generator)]
        return cls(split.images[rows], torch.from_numpy(split.labels[rows]), classes)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        """Images `rows` as uint8 (N, 3, H, W), channels-last."""
        images = torch.from_numpy(self.images[rows.numpy()])
        return images.to(device, non_blocking=True).permute(0, 3, 1, 2)


def validation_rows(labels: np.ndarray, trial: int) -> np.ndarray:
    """Rows of the training split that a trial holds out: a class-balanced tenth, ascending.

    Raises:
        UserError: a class has so few images that none would be left to train on.
    """
    held_out = balanced_subset(labels, len(labels) // 10, validation_generator(trial))
    lost = np.setdiff1d(labels[held_out], np.delete(labels, held_out))
    if len(lost):
        raise UserError(
            f"a validation part of {len(held_out)} images would hold all of class {lost[0]}: "
            "measure on probe: {split: test}"
        )
    return held_out


def evaluation_split(prepared: Prepared, spec: TrialSpec, trial: int) -> Split:
    """The images that a trial's representations are judged on: `spec.probe.split`."""
    if spec.probe.split == "test":
        return prepared.test
    rows = validation_rows(prepared.train.labels, trial)
    return Split(prepared.train.images[rows], prepared.train.labels[rows])
