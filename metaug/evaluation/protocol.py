"""The evaluation protocol `linear_v1`: every number of a trial, as rows of the tidy frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaug.data.arrays import Split
from metaug.data.augment import Augmentation
from metaug.evaluation.features import (
    BATCH_SIZE,
    Storage,
    cache_features,
    on_device,
    require_finite,
    spread,
)
from metaug.evaluation.knn import knn_accuracy
from metaug.evaluation.linear_probe import linear_probe
from metaug.hits import encode_hits
from metaug.method import Method
from metaug.seeds import generator
from metaug.spec import TrialSpec
from metaug.training.images import TrainingSet

SPREAD_IMAGES = 512
"""Test images that `spread` sees."""

SUMMARY_IMAGES = 500
"""Test images that `Method.summaries` sees."""

Row = dict[str, str | float]


class Evaluation(NamedTuple):
    """What a trial is worth.

    Attributes:
        rows: of the tidy frame.
        hits: by read-out, the hits of each image of the test split (`encode_hits`); empty for the
            validation split, whose images differ from trial to trial.
    """

    rows: list[Row]
    hits: dict[str, str]


def evaluate(
    method: Method,
    spec: TrialSpec,
    trial: int,
    train: TrainingSet,
    test: Split,
    device: torch.device,
    folder: Path | None = None,
) -> Evaluation:
    """Probe every read-out of a trained method on `test`, the split that the spec names.

    Representations that are too large for memory lie in `folder` meanwhile, or where the system has
    its temporary files.

    Returns:
        Rows with `probe`, `setting`, `metric` and `value`: the linear probe's accuracies,
        `knn_top1` and the spread of the representation for each read-out; the accuracies of the
        method's own predictions with the probe `end_to_end`; and its summaries with an empty probe.
        Beside them the hits of each test image.

    Raises:
        Diverged: a representation or a probe is not finite.
    """
    method.eval()
    features = _features_of(method, spec, trial, train, test, device, Storage(folder))
    rows: list[Row] = []
    hits: dict[str, str] = {}
    for readout in features.test:
        numbers, hits_of_images = _probe(readout, features, spec, trial, train, test, device)
        probe, _, setting = readout.partition(";")
        rows += _rows(numbers, probe, setting)
        if spec.probe.split == "test":
            hits[readout] = encode_hits(hits_of_images)
    rows += _rows(_end_to_end(method, test, device), "end_to_end")
    for setting, numbers in _summaries(method, trial, test, device).items():
        rows += _rows(numbers, "", setting)
    return Evaluation(rows, hits)


def _rows(numbers: Mapping[str, float], probe: str, setting: str = "") -> list[Row]:
    """A row for each number, by its metric."""
    return [
        {"probe": probe, "setting": setting, "metric": metric, "value": value}
        for metric, value in numbers.items()
    ]


class _Features(NamedTuple):
    """Representations by read-out: of the test images, of the training images as they are, and
    each copy that the probes are trained on."""

    test: dict[str, Tensor]
    train: dict[str, Tensor]
    copies: list[dict[str, Tensor]]


def _features_of(
    method: Method,
    spec: TrialSpec,
    trial: int,
    train: TrainingSet,
    test: Split,
    device: torch.device,
    storage: Storage,
) -> _Features:
    plain = _plain(method)
    of_test = cache_features(method, test.images, device, plain, generator("test", trial), storage)
    of_train = cache_features(
        method, train.images, device, plain, generator("train", trial), storage
    )
    copies = [of_train]
    if spec.probe.augmented_copies:
        augmentation = Augmentation(spec.augmentation[0], spec.image_size)
        copies = [
            cache_features(
                method, train.images, device, augmentation, generator("copy", trial, i), storage
            )
            for i in range(spec.probe.augmented_copies)
        ]
    for representations in (of_test, of_train, *copies):
        require_finite(representations)
    return _Features(of_test, of_train, copies)


def _plain(method: Method) -> Augmentation:
    """Images as they are, brought to size and range."""
    return Augmentation("none", method.spec.image_size)


def _probe(
    readout: str,
    features: _Features,
    spec: TrialSpec,
    trial: int,
    train: TrainingSet,
    test: Split,
    device: torch.device,
) -> tuple[dict[str, float], Tensor]:
    """The numbers of a read-out by metric, and in how many epochs the linear probe was right on
    each test image."""
    tested = (features.test[readout], torch.from_numpy(test.labels))
    numbers, hits_of_images = linear_probe(
        [(copy[readout], train.labels) for copy in features.copies],
        tested,
        train.classes,
        spec.probe,
        generator("probe", trial, readout),
        device,
    )
    trained = (features.train[readout], train.labels)
    numbers["knn_top1"] = knn_accuracy(trained, tested, train.classes, spec.probe.neighbours)
    seen = features.test[readout][_some(test, SPREAD_IMAGES)]
    return numbers | spread(seen), hits_of_images


@torch.no_grad()
def _end_to_end(method: Method, test: Split, device: torch.device) -> dict[str, float]:
    """Accuracies, per cent, of a method that classifies by itself; nothing for the others."""
    plain, unused = _plain(method), torch.Generator()
    hits = []
    for start in range(0, len(test.images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        scores = method.predict(plain(on_device(test.images[batch], device), unused))
        if scores is None:
            return {}
        ranked = scores.topk(min(5, scores.shape[1]), dim=1).indices.cpu()
        hits.append(ranked == torch.from_numpy(test.labels[batch])[:, None])
        classes = scores.shape[1]
    found = torch.cat(hits)
    accuracy = {"top1": found[:, 0].float().mean()}
    if classes > 5:
        accuracy["top5"] = found.any(1).float().mean()
    return {metric: float(value) * 100 for metric, value in accuracy.items()}


def _some(test: Split, count: int) -> slice | np.ndarray:
    """Where some test images are: the first, or evenly spaced ones where the split is sorted by
    class, as class folders are."""
    if np.any(np.diff(test.labels) < 0) or len(test.labels) <= count:
        return slice(count)
    return np.linspace(0, len(test.labels) - 1, count).round().astype(np.int64)


@torch.no_grad()
def _summaries(
    method: Method, trial: int, test: Split, device: torch.device
) -> dict[str, dict[str, float]]:
    """The method's own summaries of some test images: numbers by metric, by setting."""
    source = generator("summaries", trial)
    images = on_device(test.images[_some(test, SUMMARY_IMAGES)], device)
    return method.summaries(_plain(method)(images, source), source)
