import pytest

from metaug.paper import table1, table5
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    published_as_results,
    render_of,
    run_cells,
    specs_of,
)

DELTAS = {f"metaug_delta_1e-{k}": 10.0**-k for k in range(1, 9)}


def test_every_cell_is_its_training():
    table = render_of("full", table5)
    grid, shown = plan_of("full").grid, set()
    for row, delta in DELTAS.items():
        spec = grid.spec("metaug", "cifar10", delta=delta)
        check_cell(table, row, "without", mean_of(spec, "conv;"))
        check_cell(table, row, "with", mean_of(spec, "projection;features=with_augmented"))
        check_cell(table, row, "projection", mean_of(spec, "projection;"))
        shown |= {(row, "without"), (row, "with"), (row, "projection")}
    for method in grid.wanted(("simclr", "dacl", "looc", "cmc_hard")):
        check_cell(table, method, "without", mean_of(grid.spec(method, "cifar10"), "conv;"))
        shown.add((method, "without"))
    for views in (("rgb",), ("rgb", "l", "ab")):
        row = "_".join(("random", *views))
        floor = grid.spec("random", "cifar10", views=views)
        check_cell(table, row, "without", mean_of(floor, "conv;"))
        shown.add((row, "without"))
    assert run_cells(table) == shown


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table5.render(plan_of("full").grid, published_as_results("table5"))
    check_paper_is_reproduced(table, "table5", tmp_path)


def test_the_baselines_are_the_trainings_of_table_1():
    baselines = {s.hash for s in specs_of("full", table5) if s.method != "metaug"}
    assert baselines
    assert baselines <= {spec.hash for spec in specs_of("full", table1)}


@pytest.mark.parametrize("scale", ["smoke", "lite"])
def test_a_smaller_scale_leaves_dashes(scale):
    table = render_of(scale, table5)
    run = {row for row, column in run_cells(table) if column == "with"}
    wanted = {10.0 ** round(-k) for k in range(1, 9)} & set(
        plan_of(scale).grid.values("table5.delta", table5.DELTAS)
    )
    assert {round(DELTAS[row], 12) for row in run} == {round(delta, 12) for delta in wanted}
    assert len(table.rows) == 12 + 2


def test_delta_is_written_as_a_power_of_ten():
    table = render_of("smoke", table5, trials=1)
    assert [row.labels[1] for row in table.rows if row.name in DELTAS] == [
        "10⁻¹", "10⁻²", "10⁻³", "10⁻⁴", "10⁻⁵", "10⁻⁶", "10⁻⁷", "10⁻⁸",
    ]  # fmt: skip


def test_how_augmented_features_join_is_said():
    notes = " ".join(table5.FOOTNOTES)
    for matter in ("δ weighs the loss", "appended to z", "appendix A.3", "a control", "Table 1"):
        assert matter in notes
