"""Figure 4: accuracy over the batch size."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import dataset_of, intervals_by, scale_of, stand_in_note
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
CAPTION = (
    "Top-1 accuracy over the batch size of training, AlexNet fc, {dataset}. The learning rate is "
    "the same for all batch sizes, and so is the number of epochs: a larger batch means fewer "
    "steps. Methods and batch sizes are a choice (the paper's legend and axis are lost), and it "
    "prints no numbers here. Points of one batch size are drawn side by side."
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method with every batch size."""
    return [
        grid.spec(method, dataset, batch_size=batch_size)
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(grid.values("figure4.methods", METHODS))
        for batch_size in grid.values("figure4.batch_size", BATCH_SIZES)
    ]


def render(frame: pd.DataFrame) -> Drawing:
    """One curve for each method."""
    dataset, scale = dataset_of(frame, DATASET), scale_of(frame)
    curves = {}
    for method in METHODS:
        found = intervals_by(
            frame,
            {"batch_size": DEFAULT_BATCH_SIZE},
            method=method,
            dataset=dataset,
            backbone="alexnet",
            probe="fc",
            metric="top1",
        )
        curves[method] = {float(size): interval for (size,), interval in sorted(found.items())}
    # a method that was run at the default alone belongs to other artefacts
    curves = {method: points for method, points in curves.items() if len(points) > 1}
    sizes = sorted({size for points in curves.values() for size in points}) or BATCH_SIZES
    with canvas(f"Batch size, {dataset_name(dataset)}", scale, height=3.3) as (figure, (axes,)):
        axes.set_xscale("log", base=2)
        for number, (method, points) in enumerate(curves.items()):
            dodge = 2 ** (0.05 * (number - (len(curves) - 1) / 2))
            curve(axes, points, method_style(method), method_name(method), dodge)
        note_if_empty(axes, not curves)
        axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
        positions(axes, sizes)
        axes.set_xlabel("batch size")
        accuracy_axis(axes)
        legend(figure, axes, columns=2)
    shown = {(m, size): v for m, points in curves.items() for size, v in points.items()}
    caption = CAPTION.format(dataset=dataset_name(dataset))
    return Drawing(
        figure,
        data_of(shown, "method", "batch_size"),
        full_caption((caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values()),
    )
