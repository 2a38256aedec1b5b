import pytest

from metaug.method import DataShape, build_method
from metaug.models import ResNet
from metaug.paper import table2
from metaug.reporting.results import Results
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    STEP,
    check_cell,
    frame_of,
    mean_of,
    plan_of,
    published_as_results,
    render_nothing,
    render_of,
    row_of,
    run_cells,
    specs_of,
)


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("full", table2)


def test_every_cell_is_its_training(table):
    specs = specs_of("full", table2)
    for spec in specs:
        check_cell(table, row_of(spec), spec.dataset, mean_of(spec, "pool;"))
    methods = {row_of(spec) for spec in specs}
    assert {"random_rgb", "random_rgb_l_ab"} <= methods
    columns = ("cifar10", "stl10", "average")
    assert run_cells(table) == {(m, c) for m in methods for c in columns}


def test_the_average_is_taken_within_a_trial(table):
    """All trials go up by the same step on both data sets, so their averages do too."""
    of = {(row_of(s), s.dataset): mean_of(s, "pool;") for s in specs_of("full", table2)}
    for method in {method for method, _ in of}:
        mean = (of[method, "cifar10"] + of[method, "stl10"]) / 2
        check_cell(table, method, "average", mean)


def test_a_trial_that_lacks_a_data_set_has_no_average():
    frame = frame_of("full", table2)
    frame = frame[(frame["dataset"] != "stl10") | (frame["trial"] > 0)]
    average = table2.render(plan_of("full").grid, Results(frame)).cells["cmc", "average"].ours
    assert average.n == 2
    assert average.values == pytest.approx((average.mean - STEP / 2, average.mean + STEP / 2))


def test_an_average_leads_to_both_trainings(table):
    hashes = {s.hash for s in specs_of("full", table2) if s.method == "cmc"}
    assert set(table.cells["cmc", "average"].ours.specs) == hashes


def test_one_data_set_has_no_average():
    assert [c.name for c in render_of("lite", table2).columns] == ["cifar10"]


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table2.render(plan_of("full").grid, published_as_results("table2"))
    check_paper_is_reproduced(table, "table2", tmp_path)


def test_nothing_run_shows_the_whole_of_the_paper():
    columns = [column.name for column in render_nothing(table2).columns]
    assert columns == ["cifar10", "stl10", "average"]


@pytest.mark.parametrize("method", ["simclr", "cmc", "metaug_oucl", "metaug"])
def test_a_double_dagger_stands_where_several_views_share_the_width(table, method):
    (spec,) = (spec for spec in specs_of("smoke", table2) if spec.method == method)
    encoder_width = build_method(spec, DataShape(64, 10), 0).out_features
    whole = ResNet("resnet50", 3, spec.width, spec.image_size).out_features
    (row,) = (row for row in table.rows if row.name == method)
    assert encoder_width == (whole / 2 if "‡" in row.labels[0] else whole)


def test_the_guess_at_swav_hard_and_the_missing_intervals_are_confessed():
    (note,) = (note for note in table2.FOOTNOTES if "SwAV + Hard" in note)
    assert "defined by no source" in note
    assert "hard-negative loss between the embeddings" in note
    assert any("prints no intervals" in note for note in table2.FOOTNOTES)


def test_at_lite_stl10_is_named_as_left_out():
    notes = render_of("lite", table2).footnotes
    assert any("left out" in note and note.endswith("STL-10.") for note in notes)
