"""Extra 5: does every method learn? All under one protocol, beside their untrained networks."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import SWAV_HARD_NOTE, dataset_of, derived, rows_of, scale_of
from metaug.paper.floors import (
    FLOOR,
    floor_cells,
    floor_row,
    floor_settings,
    views_of,
    views_of_all,
    with_floors,
)
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.aggregate import cell, select
from metaug.reporting.names import METHOD_NAMES, dataset_name, method_name
from metaug.reporting.tables import Cell, Column, Row, Table
from metaug.spec import TrialSpec

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
"""Probe and metric of the columns that show one number of the frame."""

NOT_RUN = "not run"
"""No setting of the frame."""

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
    "SGD, as by their authors: by the others' Adam they ended below the untrained network.",
    SWAV_HARD_NOTE,
    OWN_QUESTION,
)


def trials(grid: Grid) -> list[TrialSpec]:
    """Every method on AlexNet under the common protocol, and the floors."""
    methods = dict.fromkeys((*METHOD_NAMES, *(grid.config.methods or ())))
    return with_floors(
        grid,
        (
            grid.spec(method, dataset)
            for dataset in grid.datasets(DATASET)
            for method in grid.wanted(methods)
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """One row for each method: accuracy, gain on its floor, spread of the features, loss, time."""
    dataset = dataset_of(frame, DATASET)
    rows = rows_of(frame, dataset=dataset, backbone="alexnet")
    methods = [
        method
        for method in dict.fromkeys((*METHOD_NAMES, *rows[rows["setting"] == ""]["method"]))
        if method != FLOOR
    ]
    floors, settings = views_of_all(methods), floor_settings(frame)
    cells = floor_cells(frame, dataset, MEASURES, floors)
    for method in methods:
        own = {"method": method, "setting": ""}
        floor = {"method": FLOOR, "setting": settings.get(views_of(method), NOT_RUN)}
        for column, (probe, metric) in MEASURES.items():
            cells[method, column] = Cell(cell(rows, probe=probe, metric=metric, **own))
        for probe in PROBES:
            keys = {"probe": probe, "metric": "top1"}
            gain = select(rows, **own, **keys) - select(rows, **floor, **keys)
            parts = (cell(rows, **own, **keys), cell(rows, **floor, **keys))
            cells[method, f"{probe}_gain"] = Cell(derived(gain.dropna(), parts))
    cells = {place: shown for place, shown in cells.items() if shown.ours.n}
    return Table(
        title="Extra 5",
        caption="Every method under one protocol: accuracy (per cent) of linear probes and of the "
        "nearest neighbours on frozen AlexNet features, spread of the features, and loss, "
        f"{dataset_name(dataset)}.",
        scale=scale_of(frame),
        rows=(
            *(Row(method, (method_name(method),), ranked=False) for method in methods),
            *map(floor_row, floors),
        ),
        columns=COLUMNS,
        cells=cells,
        footnotes=FOOTNOTES,
    )
