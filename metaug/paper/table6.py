"""Table 6: MetAug's parts on CMC with two colour views, ResNet-50, ImageNet."""

from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, row_cells, table_cells
from metaug.paper.floors import FLOOR, floor_row
from metaug.paper.notes import protocol_notes, stand_in_note
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Row, Table

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


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """Every row in its view settings, with the batch that the paper states, and the floors."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASETS[0]) or grid.datasets(DATASETS[1]):
        for name, views in VIEW_SETTINGS.items():
            columns = {column_name(name, metric): ("pool", metric) for metric in METRICS}
            for method in grid.wanted(METHODS):
                if has_setting(method, name):
                    changes: dict[str, Any] = {"views": views, "batch_size": BATCH_SIZE}
                    found |= row_cells(
                        method, grid.spec(method, dataset, "resnet50", **changes), columns
                    )
    return found | floor_row(grid, found)


def render(grid: Grid, results: Results) -> Table:
    """The paper's two blocks stand side by side."""
    dataset, scale = dataset_of(grid, *DATASETS), grid.scale.name
    on_paper = dataset == DATASETS[0]
    columns = tuple(
        Column(column_name(views, metric), (f"{{{views.replace(',', ', ')}}}", label))
        for views in VIEW_SETTINGS
        for metric, label in METRICS.items()
    )
    return Table(
        title="Table 6",
        caption="Top-1 and top-5 accuracy (per cent) of linear probes on frozen ResNet-50 "
        f"features, two colour views, {dataset_name(dataset)}.",
        scale=scale,
        rows=tuple(_rows(with_quoted=on_paper)),
        columns=columns,
        cells=table_cells("table6", cells(grid), results, columns, on_paper),
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


def column_name(views: str, metric: str) -> str:
    """l_ab_top1 for the view setting "L,ab"."""
    return f"{'_'.join(VIEW_SETTINGS[views])}_{metric}"
