"""Extra 5: does every method learn? All of them under one protocol, beside the untrained floor."""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import SWAV_HARD_NOTE, dataset_of, derived, rows_of, scale_of
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.aggregate import cell, select
from metaug.reporting.names import METHOD_NAMES, dataset_name, method_name
from metaug.reporting.tables import Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
FLOOR = "random"
MEASURES = {
    "conv": ("conv", "top1"),
    "fc": ("fc", "top1"),
    "knn": ("conv", "knn_top1"),
    "rank": ("conv", "effective_rank"),
    "std": ("conv", "feature_std"),
    "first_loss": ("", "first_loss"),
    "last_loss": ("", "last_loss"),
    "seconds": ("", "train_seconds"),
}
"""Probe and metric of the columns that show one number of the frame."""

COLUMNS = (
    Column("conv", ("conv", "top-1")),
    Column("conv_gain", ("conv", "Δ floor")),
    Column("fc", ("fc", "top-1")),
    Column("fc_gain", ("fc", "Δ floor")),
    Column("knn", ("conv", "kNN")),
    Column("rank", ("conv", "rank"), digits=1),
    Column("std", ("conv", "std")),
    Column("first_loss", ("loss", "first epoch"), digits=4),
    Column("last_loss", ("loss", "last epoch"), digits=4),
    Column("seconds", ("training", "seconds"), digits=0),
)
FOOTNOTES = (
    "Δ floor: difference from the untrained network, paired by trial, with its 95 % t-interval.",
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
    """Every method on AlexNet under the common protocol."""
    methods = dict.fromkeys((*METHOD_NAMES, *(grid.config.methods or ())))
    return [
        grid.spec(method, dataset)
        for dataset in grid.datasets(DATASET)
        for method in grid.wanted(methods)
    ]


def render(frame: pd.DataFrame) -> Table:
    """One row for each method: accuracy, gain on the floor, spread of the features, loss, time."""
    dataset = dataset_of(frame, DATASET)
    rows = rows_of(frame, dataset=dataset, backbone="alexnet", setting="")
    methods = dict.fromkeys((*METHOD_NAMES, *rows["method"]))
    cells = {}
    for method in methods:
        for column, (probe, metric) in MEASURES.items():
            found = cell(rows, method=method, probe=probe, metric=metric)
            if found.n:
                cells[method, column] = Cell(found)
        for probe in ("conv", "fc"):
            ours, floor = (
                {"method": name, "probe": probe, "metric": "top1"} for name in (method, FLOOR)
            )
            gain = (select(rows, **ours) - select(rows, **floor)).dropna()
            if method != FLOOR and len(gain):
                parts = (cell(rows, **ours), cell(rows, **floor))
                cells[method, f"{probe}_gain"] = Cell(derived(gain, parts))
    return Table(
        title="Extra 5",
        caption="Every method under one protocol: accuracy (per cent) of linear probes and of the "
        "nearest neighbours on frozen AlexNet features, spread of the features, and loss, "
        f"{dataset_name(dataset)}.",
        scale=scale_of(frame),
        rows=tuple(Row(method, (method_name(method),), ranked=False) for method in methods),
        columns=COLUMNS,
        cells=cells,
        footnotes=FOOTNOTES,
    )
