"""Figure 4: accuracy over the batch size, at equal epochs and at equal steps."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import Value, dataset_of, intervals_by, scale_of, stand_in_note
from metaug.reporting.aggregate import CellInterval
from metaug.reporting.figures import (
    Drawing,
    accuracy_axis,
    canvas,
    curve,
    data_of,
    full_caption,
    legend,
    note_if_empty,
    positions,
)
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.style import method_style
from metaug.spec import TrialSpec

DATASET = "cifar10"
METHODS = (
    "simclr",
    "cmc",
    "byol",
    "barlow_twins",
    "dacl",
    "looc",
    "metaug_oucl",
    "metaug",
)
BATCH_SIZES = (32, 64, 128, 256, 512)
DEFAULT_BATCH_SIZE = 64
SCALES_EPOCHS = 0.0
"""Stands for the epochs of the scale, which a setting does not name."""

PANELS = ("epochs", "steps")
"""What is equal for all batch sizes; at the default batch size both are one training."""

CAPTION = (
    "Top-1 accuracy over the batch size of training, AlexNet conv, {dataset}. The learning rate is "
    "the same for all batch sizes. Above: the number of epochs is the same too, so that a larger "
    "batch means fewer steps. Below: the number of steps is that of batch {default} (our addition; "
    "rounded to whole epochs). Methods and batch sizes are a choice, because the paper's legend "
    "and axis are not legible in our copy; it prints no numbers here. Points of one batch size are "
    "drawn side by side."
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method with every batch size, at equal epochs and at equal steps."""
    specs = []
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(grid.values("figure4.methods", METHODS)):
            epochs = grid.spec(method, dataset).epochs
            for size in grid.values("figure4.batch_size", BATCH_SIZES):
                specs.append(grid.spec(method, dataset, batch_size=size))
            for size in grid.values("figure4.steps_batch_size", BATCH_SIZES):
                equal_steps = epochs_at_equal_steps(epochs, size)
                specs.append(grid.spec(method, dataset, batch_size=size, epochs=equal_steps))
    return list(dict.fromkeys(specs))


def epochs_at_equal_steps(epochs: int, batch_size: int) -> int:
    """The epochs with which a batch size has the steps that the default one has in `epochs`."""
    return max(1, round(epochs * batch_size / DEFAULT_BATCH_SIZE))


def render(frame: pd.DataFrame) -> Drawing:
    """Two panels with one curve for each method."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    curves = {equal: _curves(frame, dataset, equal) for equal in PANELS}
    run = {size for lines in curves.values() for points in lines.values() for size in points}
    sizes = sorted(run) or BATCH_SIZES
    with canvas(f"Batch size, {dataset_name(dataset)}", scale, height=5, rows=2) as (
        figure,
        panels,
    ):
        for axes, (equal, lines) in zip(panels, curves.items(), strict=True):
            axes.set_xscale("log", base=2)
            for number, (method, points) in enumerate(lines.items()):
                dodge = 2 ** (0.05 * (number - (len(lines) - 1) / 2))
                curve(axes, points, method_style(method), method_name(method), dodge)
            note_if_empty(axes, not lines)
            axes.set_title(f"equal {equal}")
            axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
            positions(axes, sizes)
            accuracy_axis(axes)
        panels[1].set_xlabel("batch size")
        legend(figure, panels[0], columns=2)
    shown = {
        (equal, method, size): interval
        for equal, lines in curves.items()
        for method, points in lines.items()
        for size, interval in points.items()
    }
    caption = CAPTION.format(dataset=dataset_name(dataset), default=DEFAULT_BATCH_SIZE)
    return Drawing(
        figure,
        data_of(shown, "equal", "method", "batch_size"),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values()),
    )


def _curves(frame: pd.DataFrame, dataset: str, equal: str) -> dict[str, dict[float, CellInterval]]:
    """The points of every method by batch size, with equal epochs or equal steps."""
    keys = {"dataset": dataset, "backbone": "alexnet", "probe": "conv", "metric": "top1"}
    # only trainings at equal steps name their epochs; the default batch size is in both panels
    defaults: dict[str, Value] = {"batch_size": DEFAULT_BATCH_SIZE, "epochs": SCALES_EPOCHS}
    curves = {}
    for method in METHODS:
        found = intervals_by(frame, defaults, method=method, **keys)
        points = {
            float(size): interval
            for (size, epochs), interval in sorted(found.items())
            if size == DEFAULT_BATCH_SIZE or (epochs == SCALES_EPOCHS) == (equal == "epochs")
        }
        # a method that was run at the default alone belongs to other artefacts
        if len(points) > 1:
            curves[method] = points
    return curves
