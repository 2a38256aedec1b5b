"""Table 4: eight sets of input augmentations, CIFAR-10, AlexNet fc."""

import pandas as pd

from metaug.config import Grid
from metaug.data.augment import Crop, Grey, Jitter, Mixup, canonical
from metaug.paper.cells import (
    dataset_of,
    intervals_by,
    protocol_notes,
    scale_of,
    stand_in_note,
)
from metaug.paper.floors import FLOOR, floor_settings, views_of, with_floors
from metaug.paper.published import published_value
from metaug.reporting.aggregate import cell
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.tables import NOT_RUN, Cell, Column, Row, Table
from metaug.spec import TrialSpec

DATASET = "cifar10"
METHODS = ("dacl", "looc", "metaug")
SETS = (
    "hflip+rotate",
    "crop",
    "grey",
    "jitter",
    "hflip+crop",
    "rotate+jitter",
    "hflip+crop+mixup",
    "hflip+rotate+crop+grey+jitter+mixup",
)
"""Sets 1 to 8; set 5 is the one of all other tables."""

OPERATIONS = {
    "hflip": "Flip",
    "rotate": "Rotate",
    "crop": "Crop",
    "grey": "Grey",
    "jitter": "Jitter",
    "mixup": "Mixup",
}
FOOTNOTES = (
    "Strengths, which the paper does not give: rotation by a random number of quarter turns; crops "
    f"of {Crop().area[0]:.0%} to {Crop().area[1]:.0%} of the area; grey with probability "
    f"{Grey().p}; jitter of brightness, contrast, saturation and hue by "
    f"{', '.join(map(str, Jitter().strength))} with probability {Jitter().p}; mixup with a weight "
    f"of {Mixup().low} to 1 on the image itself.",
    "DACL mixes by itself, so it is only there in sets with mixup. LooC leaves out every operation "
    "of a set in turn (choice).",
    "Untrained: the floor of each column's own network.",
    "Set 5 is the augmentation of all other tables; for DACL, which adds its mixup to it, set 7.",
)


def recipe(method: str, number: int) -> str:
    """The augmentation of a method for set `number` (1 to 8), as the spec has it: DACL's mixup is
    part of the method, not of the input's augmentation."""
    names = SETS[number - 1].split("+")
    if method == "dacl":
        names.remove("mixup")
    return canonical("+".join(names))


def has_set(method: str, number: int) -> bool:
    """Whether the paper has the method with this set: DACL only with those that mix."""
    return method != "dacl" or "mixup" in SETS[number - 1]


def trials(grid: Grid) -> list[TrialSpec]:
    """The three methods with each set of augmentations, and their floors."""
    return with_floors(
        grid,
        (
            grid.spec(method, dataset, augmentation=recipe(method, number))
            for dataset in grid.datasets(DATASET)
            for number in grid.values("table4.sets", (1, 2, 3, 4, 5, 6, 7, 8))
            for method in grid.wanted(METHODS)
            if has_set(method, number)
        ),
    )


def render(frame: pd.DataFrame) -> Table:
    """Table 4 from the tidy frame: one row for each set."""
    dataset = dataset_of(frame, DATASET)
    keys = {"dataset": dataset, "backbone": "alexnet", "probe": "fc", "metric": "top1"}
    floors = floor_settings(frame)
    cells = {}
    for method in METHODS:
        if (setting := floors.get(views_of(method))) is not None:
            cells[FLOOR, method] = Cell(cell(frame, method=FLOOR, setting=setting, **keys))
        found = intervals_by(
            frame,
            {"augmentation": canonical("hflip+crop")},
            method=method,
            **keys,
        )
        for number, augmentations in enumerate(SETS, 1):
            if has_set(method, number):
                cells[f"set{number}", method] = Cell(
                    found.get((recipe(method, number),), NOT_RUN.ours),
                    *published_value("table4", method, dataset, "fc", "top1", augmentations),
                )
    scale = scale_of(frame)
    return Table(
        title="Table 4",
        caption="Top-1 accuracy (per cent) under sets of input augmentations, linear probes on "
        f"AlexNet fc, {dataset_name(dataset)}.",
        scale=scale,
        rows=(
            *(
                Row(f"set{number}", (str(number), *_marks(augmentations)))
                for number, augmentations in enumerate(SETS, 1)
            ),
            Row(FLOOR, ("Untrained", *("" for _ in OPERATIONS)), ranked=False),
        ),
        columns=tuple(Column(method, (method_name(method),)) for method in METHODS),
        cells=cells,
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), (DATASET,)),
            *protocol_notes(scale, "alexnet"),
        ),
        stub=("Set", *OPERATIONS.values()),
        compared="columns",
    )


def _marks(augmentations: str) -> list[str]:
    return ["✓" if name in augmentations.split("+") else "" for name in OPERATIONS]
