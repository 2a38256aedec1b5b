"""Extra 5: does every method learn? All under one protocol, beside their untrained networks."""

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, in_columns, row_cells
from metaug.paper.floors import FLOOR, floor_cells, floor_query, floor_rows
from metaug.paper.notes import SWAV_HARD_NOTE
from metaug.paper.variants import OWN_QUESTION, SECONDS_NOTE
from metaug.reporting.names import METHOD_NAMES, dataset_name, method_name
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Cell, Column, Row, Table

DATASET = "cifar10"
PROBES = ("conv", "fc6", "fc")
MEASURES = {
    **{probe: (probe, "top1") for probe in PROBES},
    "knn": ("conv", "knn_top1"),
    "rank": ("conv", "effective_rank"),
    "std": ("conv", "feature_std"),
    "first_loss": ("", "first_loss"),
    "last_loss": ("", "last_loss"),
    "seconds": ("", "train_seconds"),
}
"""Read-out and metric of the columns that show one number."""

COLUMNS = (
    *(
        column
        for probe in PROBES
        for column in (
            Column(probe, (probe, "top-1")),
            Column(f"{probe}_gain", (probe, "Δ floor")),
        )
    ),
    Column("knn", ("conv", "kNN")),
    Column("rank", ("conv", "rank"), digits=1),
    Column("std", ("conv", "std")),
    Column("first_loss", ("loss", "first epoch"), digits=4),
    Column("last_loss", ("loss", "last epoch"), digits=4),
    Column("seconds", ("training", "seconds"), digits=0),
)
FOOTNOTES = (
    "Δ floor: the gain over the method's own floor, an untrained network of the same views and "
    "widths (below), paired by trial, with its 95 % t-interval. NAT reads edges and CPC v2 "
    "patches; their floor reads the RGB image as it is.",
    "conv, fc6 and fc (fc7) are conv5 and the two linear layers above it: a gain that falls from "
    "column to column is lost on the way to the head.",
    "Rank: exp of the entropy of the normalised singular values of the centred features; std: mean "
    "standard deviation of the normalised features times √D, 1 for an isotropic cloud; both of "
    "test images. They fall to 1 and to 0 when features collapse.",
    "Losses of different methods have nothing in common. A loss need not fall where its yardstick "
    "moves as the network learns: an adversary (BiGAN), a target network (BYOL), queues and banks "
    "that begin as noise (MoCo, InfoMin, LooC, NNCLR, MetAug and its parts).",
    "BiGAN has a learning rate and weight decay of its own. SimSiam and InfoMin are trained by "
    "SGD, as by their authors: on fc it ends some 3 points above the others' Adam (one trial at "
    "the lite scale, docs/lite.md).",
    SWAV_HARD_NOTE,
    SECONDS_NOTE,
    OWN_QUESTION,
)


def methods_of(grid: Grid) -> list[str]:
    """Every method that trains, and those that the user asks for by name."""
    methods = dict.fromkeys((*METHOD_NAMES, *(grid.config.methods or ())))
    return [method for method in methods if method != FLOOR]


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """Every method on AlexNet under the common protocol, and the floors."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(methods_of(grid)):
            found |= row_cells(method, grid.spec(method, dataset), MEASURES)
    of_features = [column for column, (readout, _) in MEASURES.items() if readout]
    return found | floor_cells(grid, in_columns(found, *of_features))


def render(grid: Grid, results: Results) -> Table:
    """One row for each method: accuracy, gain on its floor, spread of the features, loss, time."""
    queries = cells(grid)
    shown = {place: Cell(results.interval(query)) for place, query in queries.items()}
    for (row, column), query in queries.items():
        if column in PROBES and query.spec.method != FLOOR:
            gain = results.difference(query, floor_query(grid, query))
            shown[row, f"{column}_gain"] = Cell(gain)
    return Table(
        title="Extra 5",
        caption="Every method under one protocol: accuracy (per cent) of linear probes and of the "
        "nearest neighbours on frozen AlexNet features, spread of the features, and loss, "
        f"{dataset_name(dataset_of(grid, DATASET))}.",
        scale=grid.scale.name,
        rows=(
            *(Row(m, (method_name(m),), ranked=False) for m in methods_of(grid)),
            *floor_rows(grid, queries),
        ),
        columns=COLUMNS,
        cells=shown,
        footnotes=FOOTNOTES,
    )
