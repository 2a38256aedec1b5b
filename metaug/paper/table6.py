"""Table 6: MetAug's parts on CMC with two colour views, ResNet-50, ImageNet."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import (
    dataset_of,
    intervals_by,
    protocol_notes,
    scale_of,
    stand_in_note,
)
from metaug.paper.floors import FLOOR, floor_settings, with_floors
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.tables import NOT_RUN, Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASETS = ("imagenet", "tiny_imagenet")
"""The paper's data set, and its stand-in at a scale without it."""

VIEW_SETTINGS = {"L,ab": ("l", "ab"), "Y,DbDr": ("y", "dbdr")}
METHODS = ("cmc", "cmc_randaugment", "metaug_oucl", "metaug_mag", "metaug", "metaug_randaugment")
WITH_RANDAUGMENT = ("cmc_randaugment", "metaug_randaugment")
"""The paper has these with {Y, DbDr} only."""

QUOTED = ("cmc", "cmc_randaugment")
"""The paper prints these twice: as quoted, and as it ran them itself."""

BATCH_SIZE = 128
METRICS = {"top1": "Top-1", "top5": "Top-5"}
FOOTNOTES = (
    f"Batch {BATCH_SIZE}, as the paper states. That {{L, ab}} and {{Y, DbDr}} are the paper's two "
    "view settings, and that RGB is no third view, follows from the numbers it quotes.",
    "Quoted rows have the paper's quotation only; the row below each has the number the paper got "
    "in its own run, beside ours.",
    "MetAug (only MAG) has MAGs and, in place of Eq. 10, the contrastive loss of CMC (choice).",
    "RandAugment on colour views leaves out operations that change colours (choice).",
)


def has_setting(method: str, views: str) -> bool:
    """Whether the paper has the method in this view setting."""
    return method not in WITH_RANDAUGMENT or views == "Y,DbDr"


def trials(grid: Grid) -> list[TrialSpec]:
    """Every row in its view settings, with the batch that the paper states, and the floors."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, "resnet50", views=views, batch_size=BATCH_SIZE)
            for dataset in grid.datasets(DATASETS[0]) or grid.datasets(DATASETS[1])
            for name, views in VIEW_SETTINGS.items()
            for method in grid.wanted(METHODS)
            if has_setting(method, name)
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Table 6 from the tidy frame: the paper's two blocks stand side by side."""
    dataset = dataset_of(frame, *DATASETS)
    cells = {}
    for method in METHODS:
        for views, names in VIEW_SETTINGS.items():
            if not has_setting(method, views):
                continue
            for metric in METRICS:
                found = intervals_by(
                    frame,
                    {"views": "", "batch_size": BATCH_SIZE},
                    method=method,
                    dataset=dataset,
                    backbone="resnet50",
                    probe="pool",
                    metric=metric,
                )
                column = _column_name(views, metric)
                keys = ("table6", method, dataset, "resnet50", metric, f"views={views}")
                cells[method, column] = Cell(
                    found.get(("|".join(names), BATCH_SIZE), NOT_RUN.ours),
                    *published_value(*keys, quoted=False),
                )
                if dataset == DATASETS[0] and method in QUOTED:
                    quoted = published_value(*keys, quoted=True)
                    cells[f"{method}_quoted", column] = Cell(NOT_RUN.ours, *quoted)
    floors = floor_settings(frame, "resnet50")
    place = {"method": FLOOR, "dataset": dataset, "backbone": "resnet50", "probe": "pool"}
    for views, names in VIEW_SETTINGS.items():
        if names in floors:
            for metric in METRICS:
                ours = cell(frame, setting=floors[names], metric=metric, **place)
                cells[FLOOR, _column_name(views, metric)] = Cell(ours)
    scale = scale_of(frame)
    return Table(
        title="Table 6",
        caption="Top-1 and top-5 accuracy (per cent) of linear probes on frozen ResNet-50 "
        f"features, two colour views, {dataset_name(dataset)}.",
        scale=scale,
        rows=tuple(_rows(with_quoted=dataset == DATASETS[0])),
        columns=tuple(
            Column(_column_name(views, metric), (f"{{{views.replace(',', ', ')}}}", label))
            for views in VIEW_SETTINGS
            for metric, label in METRICS.items()
        ),
        cells=cells,
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), DATASETS[:1]),
            *protocol_notes(scale, "resnet50"),
        ),
        digits=1,
    )


def _rows(with_quoted: bool) -> list[Row]:
    rows = []
    for method in METHODS:
        name = method_name(method)
        if with_quoted and method in QUOTED:
            rows.append(Row(f"{method}_quoted", (f"{name} (quoted)",)))
        rows.append(Row(method, (name,)))
    return [*rows, Row(FLOOR, ("Untrained ‡",), ranked=False)]


def _column_name(views: str, metric: str) -> str:
    return f"{'_'.join(VIEW_SETTINGS[views])}_{metric}"
