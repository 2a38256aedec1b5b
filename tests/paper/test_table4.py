import pytest
import torch

from metaug.data.operations import OPERATIONS
from metaug.paper import table4
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    published_as_results,
    render_of,
    results_from,
    run_cells,
    specs_of,
)

MARKS = {  # flip, rotate, crop, grey, jitter, mixup: read from the paper's table
    "set1": "xx....",
    "set2": "..x...",
    "set3": "...x..",
    "set4": "....x.",
    "set5": "x.x...",
    "set6": ".x..x.",
    "set7": "x.x..x",
    "set8": "xxxxxx",
}


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("full", table4)


def test_every_cell_is_its_training(table):
    grid, shown = plan_of("full").grid, set()
    for method in grid.wanted(("looc", "metaug")):
        for number, augmentation in enumerate(table4.SETS, 1):
            spec = grid.spec(method, "cifar10", augmentation=augmentation)
            check_cell(table, f"set{number}", method, mean_of(spec, "fc;"))
            shown.add((f"set{number}", method))
    for number, augmentation in ((7, "hflip+crop"), (8, "hflip+rotate+crop+grey+jitter")):
        spec = grid.spec("dacl", "cifar10", augmentation=augmentation)
        check_cell(table, f"set{number}", "dacl", mean_of(spec, "fc;"))
        shown.add((f"set{number}", "dacl"))
    for method in ("dacl", "looc", "metaug"):
        floor = grid.spec("random", "cifar10", views=grid.spec(method, "cifar10").views)
        check_cell(table, "random", method, mean_of(floor, "fc;"))
        shown.add(("random", method))
    assert run_cells(table) == shown


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table4.render(plan_of("full").grid, published_as_results("table4"))
    check_paper_is_reproduced(table, "table4", tmp_path)


def test_check_marks_are_those_of_the_paper(table):
    *sets, _ = table.rows
    for row in sets:
        number, *marks = row.labels
        assert row.name == f"set{number}"
        assert "".join("x" if mark == "✓" else "." for mark in marks) == MARKS[row.name]


def test_methods_compete_within_a_row():
    plan = plan_of("full")
    values = {("set2", "looc"): [80.0], ("set2", "metaug"): [70.0]}
    results = results_from({plan.cells["table4"][place]: v for place, v in values.items()})
    table = table4.render(plan.grid, results)
    looc, metaug = table.columns[1:]
    assert table.best(looc) == {"set2"}
    assert table.best(metaug) == set()
    assert len(table.published_best(metaug)) == 8


def test_set_5_is_the_default_and_so_is_set_7_of_dacl():
    grid = plan_of("full").grid
    default = {method: grid.spec(method, "cifar10") for method in ("metaug", "dacl")}
    specs = specs_of("full", table4)
    assert default["metaug"] in specs
    assert default["dacl"] in specs
    assert all("mixup" not in s.augmentation[0] for s in specs if s.method == "dacl")


def test_the_strengths_are_those_of_the_operations():
    strengths = table4.FOOTNOTES[0]
    crop, jitter = OPERATIONS["crop"], OPERATIONS["jitter"]
    assert f"{crop.area[0] * 100:g}% to {crop.area[1] * 100:g}% of the area" in strengths
    assert f"grey with probability {OPERATIONS['grey'].p}" in strengths
    assert ", ".join(f"{strength:g}" for strength in jitter.strength) in strengths
    assert f"with probability {jitter.p};" in strengths
    assert f"a weight of {OPERATIONS['mixup'].low} to 1" in strengths
    turns = OPERATIONS["rotate"].draw(100, torch.Generator().manual_seed(0))["turns"]
    assert set(turns.tolist()) == {0, 1, 2, 3}
    assert "quarter turns" in strengths


def test_sets_of_dacl_and_looc_are_explained():
    notes = " ".join(table4.FOOTNOTES)
    for matter in ("DACL mixes by itself", "LooC leaves out every operation", "Set 5"):
        assert matter in notes
