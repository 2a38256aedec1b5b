from dataclasses import replace

import pytest

from metaug.paper import table2
from tests.paper.synthetic import (
    HALF_WIDTH,
    NOTHING,
    check_cell,
    check_paper_is_reproduced,
    frame_of,
    mean_of,
    published_as_results,
    run_cells,
    specs_of,
)


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return table2.render(frame_of("full", table2))


def test_every_cell_is_its_training(table):
    specs = specs_of("full", table2)
    for spec in specs:
        check_cell(table, spec.method, spec.dataset, mean_of(spec, "pool;"))
    methods = {spec.method for spec in specs}
    columns = ("cifar10", "stl10", "average")
    assert run_cells(table) == {(m, c) for m in methods for c in columns}


def test_the_average_is_taken_within_a_trial(table):
    """All trials go up by the same step on both data sets, so their averages do too."""
    of = {(s.method, s.dataset): mean_of(s, "pool;") for s in specs_of("full", table2)}
    for method in {method for method, _ in of}:
        mean = (of[method, "cifar10"] + of[method, "stl10"]) / 2
        check_cell(table, method, "average", mean)


def test_a_trial_that_lacks_a_data_set_has_no_average():
    frame = frame_of("full", table2)
    frame = frame[(frame["dataset"] != "stl10") | (frame["trial"] > 0)]
    average = table2.render(frame).cells["cmc", "average"].ours
    assert average.n == 2
    assert average.half_width > HALF_WIDTH


def test_an_average_leads_to_both_trainings(table):
    hashes = {s.hash for s in specs_of("full", table2) if s.method == "cmc"}
    assert set(table.cells["cmc", "average"].ours.specs) == hashes


def test_one_data_set_has_no_average():
    assert [c.name for c in table2.render(frame_of("lite", table2)).columns] == ["cifar10"]


def test_the_paper_fed_back_is_the_paper():
    """But for its averages, which it rounds to two decimals."""
    table = table2.render(published_as_results("table2"))
    cells = dict(table.cells)
    for place, cell in cells.items():
        if place[1] == "average" and cell.ours.n:
            assert cell.ours.mean == pytest.approx(cell.published, abs=0.0051)
            cells[place] = replace(cell, ours=cell.ours._replace(mean=cell.published))
    check_paper_is_reproduced(replace(table, cells=cells), "table2")


def test_nothing_run_shows_the_whole_of_the_paper():
    columns = [column.name for column in table2.render(NOTHING).columns]
    assert columns == ["cifar10", "stl10", "average"]
