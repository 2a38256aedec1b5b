"""Supervised training learns its labels; its own predictions are scored without a probe."""

import numpy as np
import pytest
import torch

from metaug.config import Config, DatasetScale, Scale
from metaug.data.arrays import Split
from metaug.errors import UserError
from metaug.evaluation.protocol import evaluate
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.seeds import draws_of
from metaug.spec import ProbeSpec
from metaug.training.images import TrainingSet

CPU = torch.device("cpu")


def grid():
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}, "resnet18": {"width": 1 / 16}},
        spec={"augmentation": "cmc", "batch_size": 16, "epochs": 1, "learning_rate": 0.1},
        probe=ProbeSpec(epochs=1, averaged_epochs=1),
    )
    return Grid(scale, Config())


def batch_of(images, labels):
    return Batch(
        crops=(images,),
        index=torch.arange(len(images)),
        labels=labels,
        epoch=0,
        pass_index=0,
        step=0,
        progress=0.0,
        draws=draws_of(0),
    )


@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_loss_is_the_cross_entropy_of_the_predictions(backbone):
    spec = grid().spec("supervised", "digits_m", backbone)
    method = build_method(spec, DataShape(16, 7), trial=0).eval()
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(16) % 7
    with torch.no_grad():
        loss, logs = method.training_step(batch_of(images, labels))
        scores = method.predict(images)
    naive = [
        float(scores[i].double().exp().sum().log() - scores[i, labels[i]].double())
        for i in range(16)
    ]
    assert float(loss) == pytest.approx(sum(naive) / 16, abs=1e-5)
    right = sum(int(scores[i].argmax()) == int(labels[i]) for i in range(16))
    assert float(logs["train_top1"]) == pytest.approx(100 * right / 16)


def test_gradient_reaches_the_whole_encoder():
    method = build_method(grid().spec("supervised", "digits_m"), DataShape(16, 7), trial=0)
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    loss, _ = method.training_step(batch_of(images, torch.arange(16) % 7))
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in method.parameters())


def colours(images):
    """Images of noise around one of seven grey levels, the level being the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % 7
    noise = rng.integers(0, 20, (images, 32, 32, 3))
    return Split((30 * labels[:, None, None, None] + noise).astype(np.uint8), labels)


def rows_of(name):
    test = colours(300)
    spec = grid().spec(name, "digits_m")
    method = build_method(spec, DataShape(300, 7), trial=0)
    train = TrainingSet(test.images, torch.from_numpy(test.labels), 7)
    return method, test, evaluate(method, spec, 0, train, test, CPU).rows


def test_own_predictions_are_scored_as_a_probe_of_their_own():
    method, test, rows = rows_of("supervised")
    found = {row["metric"]: row["value"] for row in rows if row["probe"] == "end_to_end"}
    assert set(found) == {"top1", "top5"}
    top1 = top5 = 0
    with torch.no_grad():
        for image, label in zip(test.images, test.labels, strict=True):
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
            order = method.predict(pixels)[0].argsort(descending=True).tolist()
            top1 += order[0] == label
            top5 += label in order[:5]
    assert found["top1"] == pytest.approx(top1 / 3, abs=0.4)
    assert found["top5"] == pytest.approx(top5 / 3, abs=0.4)


def test_a_method_that_does_not_classify_has_no_such_rows():
    _, _, rows = rows_of("random")
    assert {row["probe"] for row in rows} == {"conv", "fc6", "fc"}


def test_several_views_are_refused():
    with pytest.raises(UserError, match="supervised"):
        grid().spec("supervised", "digits_m", views=("l", "ab"))
