"""Figure 4: accuracy over the batch size, at equal epochs and at equal steps."""

from metaug.grid import Grid
from metaug.paper.cells import dataset_of, intervals
from metaug.paper.notes import stand_in_note
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
from metaug.reporting.results import CellInterval, Query, Results
from metaug.reporting.style import method_style

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
"""At equal steps, a training has the steps of this batch size."""

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


def cells(grid: Grid) -> dict[tuple[str, str, int], Query]:
    """Every method with every batch size, at equal epochs and at equal steps."""
    found = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(grid.choices("figure4.methods", METHODS)):
            epochs = grid.spec(method, dataset).epochs
            for size in grid.values("figure4.batch_size", BATCH_SIZES):
                spec = grid.spec(method, dataset, batch_size=size)
                found["epochs", method, size] = Query(spec, "conv")
            for size in grid.values("figure4.steps_batch_size", BATCH_SIZES):
                equal_steps = epochs_at_equal_steps(epochs, size)
                spec = grid.spec(method, dataset, batch_size=size, epochs=equal_steps)
                found["steps", method, size] = Query(spec, "conv")
    return found


def epochs_at_equal_steps(epochs: int, batch_size: int) -> int:
    """The epochs with which a batch size has the steps that the default one has in `epochs`."""
    return max(1, round(epochs * batch_size / DEFAULT_BATCH_SIZE))


def render(grid: Grid, results: Results) -> Drawing:
    """Two panels with one curve for each method."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    shown = intervals(cells(grid), results)
    sizes = sorted({size for _, _, size in shown}) or BATCH_SIZES
    with canvas(f"Batch size, {dataset_name(dataset)}", scale, height=5, rows=2) as (
        figure,
        panels,
    ):
        for axes, equal in zip(panels, PANELS, strict=True):
            axes.set_xscale("log", base=2)
            lines: dict[str, dict[float, CellInterval]] = {}
            for (panel, method, size), interval in shown.items():
                if panel == equal:
                    lines.setdefault(method, {})[size] = interval
            for number, (method, points) in enumerate(lines.items()):
                dodge = 2 ** (0.05 * (number - (len(lines) - 1) / 2))
                curve(axes, points, method_style(method), method_name(method), dodge)
            note_if_empty(axes, [point for points in lines.values() for point in points.values()])
            axes.set_title(f"equal {equal}")
            axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
            positions(axes, sizes)
            accuracy_axis(axes, "conv")
        panels[1].set_xlabel("batch size")
        legend(figure, panels[0], columns=2)
    caption = CAPTION.format(dataset=dataset_name(dataset), default=DEFAULT_BATCH_SIZE)
    return Drawing(
        figure,
        data_of(shown, "equal", "method", "batch_size"),
        full_caption(
            (caption, *stand_in_note((dataset,), (DATASET,))), scale, shown.values(), dots=True
        ),
    )
