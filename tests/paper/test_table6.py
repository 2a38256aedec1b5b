import math

import pytest

from metaug.paper import table6
from tests.paper.printed import check_paper_is_reproduced
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    published_as_results,
    render_nothing,
    render_of,
    run_cells,
    specs_of,
)


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_every_cell_is_its_training(scale):
    table, shown = render_of(scale, table6), set()
    for spec in specs_of(scale, table6):
        for metric in ("top1", "top5"):
            column = f"{'_'.join(spec.views)}_{metric}"
            check_cell(table, spec.method, column, mean_of(spec, "pool;", metric))
            shown.add((spec.method, column))
    assert run_cells(table) == shown


def test_the_paper_fed_back_is_the_paper(tmp_path):
    table = table6.render(plan_of("full").grid, published_as_results("table6"))
    check_paper_is_reproduced(table, "table6", tmp_path)


def test_cmc_has_the_quoted_number_and_the_papers_own():
    table = render_nothing(table6)
    quoted, own = table.cells["cmc_quoted", "l_ab_top1"], table.cells["cmc", "l_ab_top1"]
    assert (quoted.published, quoted.quoted) == (64.0, True)
    assert (own.published, own.quoted) == (63.3, False)
    assert math.isnan(quoted.ours.mean)


def test_a_stand_in_has_no_quoted_rows():
    rows = [row.name for row in render_of("lite", table6, trials=1).rows]
    assert rows == [*table6.METHODS, "random"]


def test_two_views_and_the_batch_that_the_paper_states():
    specs = [spec for spec in specs_of("full", table6) if spec.method != "random"]
    assert {spec.views for spec in specs} == {("l", "ab"), ("y", "dbdr")}
    assert {spec.batch_size for spec in specs} == {128}
    with_randaugment = {s.views for s in specs if s.method.endswith("randaugment")}
    assert with_randaugment <= {("y", "dbdr")}


def test_the_reading_of_the_view_settings_and_the_rows_is_said():
    notes = " ".join(table6.FOOTNOTES)
    for matter in (
        "Batch 128",
        "{L, ab} and {Y, DbDr}",
        "(only MAG)",
        "RandAugment",
        "Quoted rows",
    ):
        assert matter in notes
