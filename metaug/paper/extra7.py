"""Extra 7: does the ranking of Table 1 survive under SimCLR's augmentation?"""

import pandas as pd

from metaug.config import Grid
from metaug.paper.cells import Value, dataset_of, difference, rows_of, scale_of, settings_by
from metaug.paper.floors import floor_cells, floor_row, views_of_all, with_floors
from metaug.paper.table1 import METHODS, PROBES
from metaug.paper.variants import OWN_QUESTION
from metaug.reporting.aggregate import CellInterval, cell
from metaug.reporting.names import NOT_RANKED, dataset_name, method_name
from metaug.reporting.statistics import NAN
from metaug.reporting.tables import Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
PROTOCOL, SIMCLR = "protocol", "simclr"
AUGMENTATIONS = (PROTOCOL, SIMCLR)
"""The one of all other tables, and SimCLR's, a recipe of `metaug.data.augment`."""

COLUMNS = tuple(
    column
    for probe in PROBES
    for column in (
        Column(f"{probe}_{PROTOCOL}", (probe, "protocol")),
        Column(f"{probe}_{SIMCLR}", (probe, "SimCLR's")),
        Column(f"{probe}_difference", (probe, "Δ")),
        Column(f"{probe}_{PROTOCOL}_rank", (probe, "rank, protocol"), digits=0),
        Column(f"{probe}_{SIMCLR}_rank", (probe, "rank, SimCLR's"), digits=0),
    )
)
FOOTNOTES = (
    "Protocol: the augmentation of all other tables. SimCLR's: crops of 8 % to 100 % of the area, "
    "flip, colour jitter and grey, as for CIFAR-10 in its authors' code. Methods with colour views "
    "see jitter and grey through them.",
    "Δ: SimCLR's minus the protocol's, paired by trial, with its 95 % t-interval.",
    "Rank: place of the mean among the self-supervised rows that were run with both.",
    "DACL adds its mixup to either; LooC leaves out every operation in turn.",
    OWN_QUESTION,
)


def trials(grid: Grid) -> list[TrialSpec]:
    """The rows of Table 1 with both augmentations, and the floors."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, **changes)
            for dataset in grid.datasets(DATASET)
            for method in grid.wanted(grid.values("extra7.methods", METHODS))
            for changes in ({}, {"augmentation": SIMCLR})
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """One row for each method: accuracies under both augmentations, and its rank under each."""
    dataset = dataset_of(frame, DATASET)
    rows = rows_of(frame, dataset=dataset, backbone="alexnet", metric="top1")
    defaults: dict[str, Value] = {"augmentation": PROTOCOL}
    settings = {
        method: {name: setting for (name,), setting in found.items() if name in AUGMENTATIONS}
        for method in METHODS
        if (found := settings_by(rows, defaults, method=method))
    }
    # a method that was run with one of them alone belongs to other artefacts
    settings = {method: both for method, both in settings.items() if len(both) == 2}
    shown = tuple(settings) or METHODS
    floors = views_of_all(shown)
    cells = floor_cells(frame, dataset, {f"{p}_{PROTOCOL}": (p, "top1") for p in PROBES}, floors)
    for probe in PROBES:
        for method, both in settings.items():
            keys = {"method": method, "probe": probe}
            for name, setting in both.items():
                cells[method, f"{probe}_{name}"] = Cell(cell(rows, setting=setting, **keys))
            change = difference(rows, both[SIMCLR], both[PROTOCOL], **keys)
            cells[method, f"{probe}_difference"] = Cell(change)
        for name in AUGMENTATIONS:
            column = f"{probe}_{name}"
            measured = {
                method: cell(rows, method=method, probe=probe, setting=both[name])
                for method, both in settings.items()
                if method not in NOT_RANKED
            }
            means = pd.Series(
                {method: found.mean for method, found in measured.items()}, dtype=float
            )
            for method, rank in means.rank(ascending=False, method="min").items():
                place = CellInterval(float(rank), NAN, measured[str(method)].n)
                place.specs = measured[str(method)].specs
                cells[str(method), f"{column}_rank"] = Cell(place)
    return Table(
        title="Extra 7",
        caption="The rows of Table 1 under SimCLR's augmentation: top-1 accuracy (per cent) of "
        f"linear probes on frozen AlexNet features, {dataset_name(dataset)}.",
        scale=scale_of(frame),
        rows=(
            *(Row(method, (method_name(method),), ranked=False) for method in shown),
            *map(floor_row, floors),
        ),
        columns=COLUMNS,
        cells=cells,
        footnotes=FOOTNOTES,
    )
