"""Table 5: probing with or without augmented features, over their weight δ in training."""

from dataclasses import replace

from metaug.grid import Grid
from metaug.paper.cells import TablePlace, dataset_of, in_columns, table_cells
from metaug.paper.floors import floor_cells, floor_rows
from metaug.paper.notes import protocol_notes, stand_in_note
from metaug.reporting.names import dataset_name, method_name, power_of_ten
from metaug.reporting.results import Query, Results
from metaug.reporting.tables import Column, Row, Table

DATASET = "cifar10"
BASELINES = ("simclr", "dacl", "looc", "cmc_hard")
DELTAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
READOUTS = {
    "with": "projection;features=with_augmented",
    "without": "conv",
    "projection": "projection",
}
"""What each column reads."""

COLUMNS = (
    Column("with", ("With augmented features",)),
    Column("without", ("Without augmented features",)),
    Column("projection", ("Projection head alone",)),
)
FOOTNOTES = (
    "δ weighs the loss with augmented features in training. Without augmented features: conv, the "
    "regular mode of the paper (its number at δ = 10⁻⁵ is that of its Table 1). With augmented "
    "features: the projection head is kept, because the generators act on its output z, and their "
    "outputs are appended to z (the paper's appendix A.3).",
    "Projection head alone: z without the generators' outputs, a control that the paper does not "
    "have. What the augmented features add is the difference of the first column from this one; "
    "its difference from conv is what the head loses.",
    "The baselines have no augmented features; their cells are those of Table 1.",
)


def cells(grid: Grid) -> dict[TablePlace, Query]:
    """The baselines at their defaults, MetAug over δ, and the floors on conv."""
    found: dict[TablePlace, Query] = {}
    for dataset in grid.datasets(DATASET):
        for method in grid.wanted(BASELINES):
            found[method, "without"] = Query(grid.spec(method, dataset), READOUTS["without"])
        for method in grid.wanted(("metaug",)):
            for delta in grid.values("table5.delta", DELTAS):
                spec = grid.spec(method, dataset, delta=delta)
                for column, readout in READOUTS.items():
                    found[row_name(delta), column] = Query(spec, readout)
    return found | floor_cells(grid, in_columns(found, "without"))


def render(grid: Grid, results: Results) -> Table:
    """The baselines, then one row for each δ."""
    dataset, scale = dataset_of(grid, DATASET), grid.scale.name
    queries = cells(grid)
    return Table(
        title="Table 5",
        caption="Top-1 accuracy (per cent) with and without augmented features at test, linear "
        f"probes, AlexNet, {dataset_name(dataset)}.",
        scale=scale,
        rows=(
            *(Row(method, (method_name(method), "")) for method in BASELINES),
            *(Row(row_name(d), (method_name("metaug"), power_of_ten(d))) for d in DELTAS),
            *(replace(row, labels=(*row.labels, "")) for row in floor_rows(grid, queries)),
        ),
        columns=COLUMNS,
        cells=table_cells("table5", queries, results, COLUMNS, dataset == DATASET),
        footnotes=(
            *FOOTNOTES,
            *stand_in_note((dataset,), (DATASET,)),
            *protocol_notes(scale, "alexnet"),
        ),
        stub=("Method", "δ"),
    )


def row_name(delta: float) -> str:
    """metaug_delta_1e-5 for 0.00001."""
    mantissa, _, exponent = f"{delta:.0e}".partition("e")
    return f"metaug_delta_{mantissa}e{int(exponent)}"
