"""Table 4: eight sets of input augmentations, CIFAR-10, AlexNet fc."""

from metaug.data.augment import canonical
from metaug.data.operations import Crop, Grey, Jitter, Mixup
from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, table_cells
from metaug.paper.floors import FLOOR, floor_row
from metaug.paper.notes import protocol_notes, stand_in_note
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Row, Table

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

SET_NUMBERS = tuple(range(1, len(SETS) + 1))

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


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """The three methods with each set of augmentations; the floor of each column's network."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(METHODS):
            for number in grid.choices("table4.sets", SET_NUMBERS):
                if has_set(method, number):
                    spec = grid.spec(method, dataset, augmentation=recipe(method, number))
                    found[f"set{number}", method] = Query(spec, "fc")
    return found | floor_row(grid, found)


def render(grid: Grid, results: Results) -> Table:
    """One row for each set, one column for each method."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    columns = tuple(Column(method, (method_name(method),)) for method in METHODS)
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
        columns=columns,
        cells=table_cells("table4", cells(grid), results, columns, dataset == DATASET),
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
