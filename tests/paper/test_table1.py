import pytest

from metaug.paper import table1
from metaug.reporting.names import method_name
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    published_as_results,
    render_nothing,
    render_of,
    results_from,
    row_of,
    run_cells,
    specs_of,
)

COLUMNS = [
    ("tiny_imagenet_conv", ("Tiny ImageNet", "conv")),
    ("tiny_imagenet_fc", ("Tiny ImageNet", "fc")),
    ("stl10_conv", ("STL-10", "conv")),
    ("stl10_fc", ("STL-10", "fc")),
    ("cifar10_conv", ("CIFAR-10", "conv")),
    ("cifar10_fc", ("CIFAR-10", "fc")),
    ("cifar100_conv", ("CIFAR-100", "conv")),
    ("cifar100_fc", ("CIFAR-100", "fc")),
]


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_every_cell_is_its_training(scale):
    table, shown = render_of(scale, table1), set()
    for spec in specs_of(scale, table1):
        for probe in ("conv", "fc"):
            place = row_of(spec), f"{spec.dataset}_{probe}"
            check_cell(table, *place, mean_of(spec, f"{probe};"))
            shown.add(place)
    assert run_cells(table) == shown


def test_all_of_the_papers_methods_and_the_floor_are_trained_on_each_data_set():
    trained = {(spec.method, spec.dataset) for spec in specs_of("full", table1)}
    datasets = ("tiny_imagenet", "stl10", "cifar10", "cifar100")
    assert trained == {(m, d) for m in (*table1.METHODS, "random") for d in datasets}


def test_every_network_has_its_floor_on_each_data_set():
    specs = specs_of("full", table1)
    networks = {(s.views, s.dataset) for s in specs if s.method != "random"}
    assert {(s.views, s.dataset) for s in specs if s.method == "random"} == networks
    assert {views for views, _ in networks} == {("rgb",), ("l", "ab"), ("rgb", "l", "ab")}


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table1.render(plan_of("full").grid, published_as_results("table1"))
    check_paper_is_reproduced(table, "table1", tmp_path)


def test_columns_stand_as_in_the_paper():
    columns = render_nothing(table1).columns
    assert [(column.name, column.header) for column in columns] == COLUMNS


def test_rows_stand_as_in_the_paper_and_the_floors_below():
    rows = [row.labels for row in render_nothing(table1).rows]
    assert rows[0] == ("Fully supervised",)
    assert rows[4] == ("SplitBrain ‡",)
    assert rows[-5:] == [
        ("MetAug (only OUCL) ‡",),
        ("MetAug ‡",),
        ("Untrained, RGB",),
        ("Untrained, L + ab ‡",),
        ("Untrained, RGB + L + ab ‡",),
    ]
    assert len(rows) == 22


def test_quoted_numbers_are_those_without_an_interval():
    cells = render_nothing(table1).cells
    for place, cell in cells.items():
        if cell.published == cell.published:
            assert cell.quoted == (cell.published_ci95 != cell.published_ci95), place
    quoted = {row for (row, _), cell in cells.items() if cell.quoted}
    assert quoted == {"supervised", "bigan", "nat", "dim", "splitbrain", "cmc"}


def test_a_data_set_that_the_scale_lacks_is_named():
    table = render_of("lite", table1)
    assert not any("stl10" in column.name for column in table.columns)
    (note,) = [note for note in table.footnotes if "left out" in note]
    assert note.endswith(": STL-10.")
    assert not any("left out" in note for note in render_nothing(table1).footnotes)


def test_a_method_that_the_paper_does_not_know_joins():
    grid = plan_of("smoke", methods=("simclr", "nnclr")).grid
    asked = table1.cells(grid)
    assert [*dict.fromkeys(row for row, _ in asked)] == ["simclr", "nnclr"]
    table = table1.render(grid, results_from({query: [50.0] for query in asked.values()}))
    assert table.rows[len(table1.METHODS)].labels == (method_name("nnclr"),)
    assert run_cells(table) == set(asked)


def test_the_floors_can_be_had_alone():
    asked = table1.cells(plan_of("smoke", methods=("random",)).grid)
    assert {query.spec.method for query in asked.values()} == {"random"}
    rows = {row for row, _ in table1.cells(plan_of("smoke").grid) if row.startswith("random")}
    assert {row for row, _ in asked} == rows


def test_all_methods_but_bigan_are_optimised_alike():
    def optimiser(spec):
        return spec.optimizer, spec.learning_rate, spec.weight_decay, spec.schedule

    specs = specs_of("full", table1)
    common = {optimiser(spec) for spec in specs if spec.method == "metaug"}
    assert {spec.method for spec in specs if optimiser(spec) not in common} == {"bigan"}
    assert any("BiGAN's learning rate" in note for note in table1.FOOTNOTES)


def test_cmc_and_metaug_see_the_same_views():
    views = {s.method: s.views for s in specs_of("full", table1)}
    assert {views[m] for m in ("cmc", "cmc_debiased", "cmc_hard", "metaug")} == {("rgb", "l", "ab")}
    assert any("(RGB, L, ab)" in note for note in table1.FOOTNOTES)


def test_the_supervised_row_is_explained():
    assert any("supervised row is one number" in note for note in table1.FOOTNOTES)
