"""The evaluation protocol `linear_v1`: every number of a trial, as rows of the tidy frame."""

from pathlib import Path
from typing import NamedTuple

import torch

from metaug.data.arrays import Split
from metaug.data.augment import Augmentation
from metaug.evaluation.features import (
    BATCH_SIZE,
    Storage,
    cache_features,
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
    plain = Augmentation("none", spec.image_size)
    storage = Storage(folder)
    test_features = cache_features(
        method, test.images, device, plain, generator("test", trial), storage
    )
    test_labels = torch.from_numpy(test.labels)
    train_features = cache_features(
        method, train.images, device, plain, generator("train", trial), storage
    )
    copies = [train_features]
    if spec.probe.augmented_copies:
        augmentation = Augmentation(spec.augmentation[0], spec.image_size)
        copies = [
            cache_features(
                method, train.images, device, augmentation, generator("copy", trial, i), storage
            )
            for i in range(spec.probe.augmented_copies)
        ]
    for representations in (test_features, train_features, *copies):
        require_finite(representations)
    rows: list[Row] = []
    hits: dict[str, str] = {}
    for readout, features in test_features.items():
        probe, _, setting = readout.partition(";")
        training = [(copy[readout], train.labels) for copy in copies]
        numbers, hits_of_images = linear_probe(
            training,
            (features, test_labels),
            train.classes,
            spec.probe,
            generator("probe", trial, readout),
            device,
        )
        if spec.probe.split == "test":
            hits[readout] = encode_hits(hits_of_images)
        numbers["knn_top1"] = knn_accuracy(
            (train_features[readout], train.labels),
            (features, test_labels),
            train.classes,
            spec.probe.neighbours,
        )
        numbers |= spread(features[:SPREAD_IMAGES])
        rows += [
            {"probe": probe, "setting": setting, "metric": metric, "value": value}
            for metric, value in numbers.items()
        ]
    rows += _end_to_end(method, test, plain, device)
    with torch.no_grad():
        images = (
            torch.from_numpy(test.images[:SUMMARY_IMAGES].copy()).to(device).permute(0, 3, 1, 2)
        )
        source = generator("summaries", trial)
        for setting, numbers in method.summaries(plain(images, source), source).items():
            rows += [
                {"probe": "", "setting": setting, "metric": metric, "value": value}
                for metric, value in numbers.items()
            ]
    return Evaluation(rows, hits)


@torch.no_grad()
def _end_to_end(
    method: Method, test: Split, plain: Augmentation, device: torch.device
) -> list[Row]:
    """Accuracies, per cent, of a method that classifies by itself; nothing for the others."""
    unused = torch.Generator()
    hits = []
    for start in range(0, len(test.images), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        images = torch.from_numpy(test.images[rows].copy()).to(device).permute(0, 3, 1, 2)
        scores = method.predict(plain(images, unused))
        if scores is None:
            return []
        ranked = scores.topk(min(5, scores.shape[1]), dim=1).indices.cpu()
        hits.append(ranked == torch.from_numpy(test.labels[rows])[:, None])
        classes = scores.shape[1]
    found = torch.cat(hits)
    accuracy = {"top1": found[:, 0].float().mean()}
    if classes > 5:
        accuracy["top5"] = found.any(1).float().mean()
    return [
        {"probe": "end_to_end", "setting": "", "metric": metric, "value": float(value) * 100}
        for metric, value in accuracy.items()
    ]
