import pytest

from metaug.extras import extra7
from metaug.paper import table1
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    render_of,
    run_cells,
    specs_of,
)


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("full", extra7)


def spec_of(method, **changes):
    return plan_of("full").grid.spec(method, "cifar10", **changes)


def test_every_row_of_table_1_is_trained_with_both_augmentations():
    specs = set(specs_of("full", extra7))
    for method in table1.METHODS:
        assert {spec_of(method), spec_of(method, augmentation="simclr")} <= specs
    assert specs - set(specs_of("full", table1)) == {
        spec_of(method, augmentation="simclr") for method in table1.METHODS
    }


def test_every_cell_is_its_training_and_differences_are_paired(table):
    for method in ("supervised", "looc", "metaug"):
        for probe in ("conv", "fc"):
            protocol = mean_of(spec_of(method), f"{probe};")
            simclr = mean_of(spec_of(method, augmentation="simclr"), f"{probe};")
            check_cell(table, method, f"{probe}_protocol", protocol)
            check_cell(table, method, f"{probe}_simclr", simclr)
            change = table.cells[method, f"{probe}_difference"].ours
            assert change.mean == pytest.approx(simclr - protocol)
            assert change.half_width == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("changes", [{}, {"augmentation": "simclr"}])
def test_ranks_are_among_the_self_supervised_rows(table, changes):
    methods = [method for method in table1.METHODS if method != "supervised"]
    best = sorted(methods, key=lambda m: -mean_of(spec_of(m, **changes), "fc;"))
    column = f"fc_{changes.get('augmentation', 'protocol')}_rank"
    ranks = {method: table.cells[method, column].ours.mean for method in methods}
    assert ranks == {method: place for place, method in enumerate(best, 1)}
    assert ("supervised", column) not in table.cells


def test_the_floors_stand_below(table):
    floor = spec_of("random", views=("rgb", "l", "ab"))
    check_cell(table, "random_rgb_l_ab", "conv_protocol", mean_of(floor, "conv;"))


def test_a_smaller_scale_may_have_fewer_methods():
    shown = {row for row, _ in run_cells(render_of("smoke", extra7))}
    methods = {row for row in shown if not row.startswith("random")}
    assert methods == set(plan_of("smoke").grid.values("extra7.methods", ("",)))
