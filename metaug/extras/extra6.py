"""Extra 6: do our implementations learn under their authors' kind of recipe, too?"""

from typing import Any

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, row_cells
from metaug.paper.floors import FLOOR
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import NAN, Interval
from metaug.reporting.tables import Cell, Column, Row, Table

DATASET = "cifar10"
BACKBONE = "resnet18"
EPOCHS = 200
LIGHTLY_KNN = {
    "simclr": 84.7,
    "moco": 83.8,
    "byol": 86.9,
    "barlow_twins": 84.2,
    "swav": 81.2,
    "simsiam": 81.9,
    "nnclr": 83.4,
}
"""What lightly reports of the recipes that our presets `own` follow: ResNet-18, batch 128, 200
epochs (lightly-ai/lightly: docs/source/getting_started/benchmarks.rst)."""

COLUMNS = (
    Column("linear", ("linear", "top-1")),
    Column("knn", ("kNN", "top-1")),
    Column("public_knn", ("kNN", "lightly's"), digits=1),
    Column("first_loss", ("loss", "first epoch"), digits=4),
    Column("last_loss", ("loss", "last epoch"), digits=4),
)
ACCURACIES = {"linear": ("pool", "top1"), "knn": ("pool", "knn_top1")}
LOSSES = {"first_loss": ("", "first_loss"), "last_loss": ("", "last_loss")}
FOOTNOTES = (
    "Every row has the preset `own` of its method: lightly's recipe for CIFAR-10.",
    "Lightly's kNN is with k = 200 and the best of all epochs, on the whole data set and with the "
    "whole network; ours is with k = 20 after the last epoch. Only the full scale is comparable.",
    OWN_QUESTION,
)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """The presets `own` that have a public number, and the untrained network."""
    epochs = grid.value("extra6.epochs", EPOCHS)
    own: dict[str, Any] = {"preset": "own", "epochs": epochs}
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASET):
        methods = grid.choices("extra6.methods", tuple(LIGHTLY_KNN))
        for method in grid.wanted((*methods, FLOOR)):
            changes = {} if method == FLOOR else own
            measures = ACCURACIES if method == FLOOR else ACCURACIES | LOSSES
            found |= row_cells(method, grid.spec(method, dataset, BACKBONE, **changes), measures)
    return found


def render(grid: Grid, results: Results) -> Table:
    """One row for each method, with the public number beside ours."""
    dataset = dataset_of(grid, DATASET)
    shown = {place: Cell(results.interval(query)) for place, query in cells(grid).items()}
    if dataset == DATASET:
        for method, accuracy in LIGHTLY_KNN.items():
            shown[method, "public_knn"] = Cell(Interval(accuracy, NAN, 0))
    return Table(
        title="Extra 6",
        caption="Methods under a published recipe of their own: accuracy (per cent) of linear "
        f"probes and nearest neighbours on frozen ResNet-18 features, {dataset_name(dataset)}.",
        scale=grid.scale.name,
        rows=tuple(
            Row(method, (method_name(method),), ranked=False) for method in (*LIGHTLY_KNN, FLOOR)
        ),
        columns=COLUMNS,
        cells=shown,
        footnotes=FOOTNOTES,
    )
