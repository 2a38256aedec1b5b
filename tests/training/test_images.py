"""The images that a trial is trained on, and those that it is judged on."""

import numpy as np
import pytest
import torch

from metaug.data.arrays import Prepared, Split
from metaug.errors import UserError
from metaug.training.images import TrainingSet, evaluation_split, validation_rows


def test_a_validation_part_is_held_out_of_the_training_images(make_spec, training_set):
    labels = torch.arange(200) % 4
    images = np.zeros((200, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0] = range(200)
    split = Split(images, labels.numpy())
    prepared = Prepared(split, Split(images[:8], labels[:8].numpy()), tuple("abcd"), 32, "")
    parts = []
    for trial in (0, 1):
        spec = make_spec("simclr", train_images=100, probe={"split": "validation"})
        chosen = TrainingSet.of(split, spec, trial, 4)
        held = evaluation_split(prepared, spec, trial)
        assert len(chosen) == 100
        assert np.bincount(held.labels).tolist() == [5, 5, 5, 5]
        assert set(chosen.images[:, 0, 0, 0]).isdisjoint(held.images[:, 0, 0, 0])
        parts.append(set(held.images[:, 0, 0, 0]))
        whole = make_spec("simclr", probe={"split": "validation"})
        assert len(TrainingSet.of(split, whole, trial, 4)) == 180
    assert parts[0] != parts[1]
    tested = make_spec("simclr", train_images=100)
    assert evaluation_split(prepared, tested, 0) is prepared.test
    assert len(TrainingSet.of(split, make_spec("simclr"), 0, 4)) == 200


def test_a_class_that_would_be_held_out_whole_is_refused():
    labels = np.repeat(np.arange(3), (50, 47, 3))
    with pytest.raises(UserError, match="validation part of 10 images would hold all of class 2"):
        validation_rows(labels, 0)
    assert len(validation_rows(np.repeat(np.arange(3), (50, 46, 4)), 0)) == 10


def test_batches_are_channels_last_bytes_of_the_right_images(training_set):
    batch = training_set.batch(torch.tensor([5, 2]), torch.device("cpu"))
    assert batch.dtype == torch.uint8
    assert batch.shape == (2, 3, 32, 32)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert (batch[1].permute(1, 2, 0).numpy() == training_set.images[2]).all()


def test_a_training_set_has_the_length_of_its_labels(training_set):
    assert len(training_set) == 24
    assert isinstance(training_set, TrainingSet)
