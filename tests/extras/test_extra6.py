import pytest

from metaug.extras import extra6
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    render_of,
    run_cells,
    specs_of,
)

METHODS = ("simclr", "byol", "barlow_twins")


def test_trainings_have_the_methods_own_recipe_on_a_resnet18():
    grid = plan_of("full").grid
    specs = {spec.method: spec for spec in specs_of("full", extra6)}
    assert set(specs) == {*extra6.LIGHTLY_KNN, "random"}
    for method in extra6.LIGHTLY_KNN:
        own = grid.spec(method, "cifar10", "resnet18", preset="own", epochs=200)
        assert specs[method] == own
        assert own.augmentation != specs["random"].augmentation


@pytest.mark.parametrize("scale", ["lite", "full"])
def test_numbers_are_those_of_the_trainings_beside_the_public_ones(scale):
    table = render_of(scale, extra6)
    specs = {spec.method: spec for spec in specs_of(scale, extra6)}
    for method in (*METHODS, "random"):
        check_cell(table, method, "linear", mean_of(specs[method], "pool;"))
        check_cell(table, method, "knn", mean_of(specs[method], "pool;", "knn_top1"))
    assert table.cells["byol", "public_knn"].ours.mean == 86.9
    assert ("random", "public_knn") not in table.cells


def test_a_stand_in_has_no_public_number():
    table = render_of("smoke", extra6)
    assert not any(column == "public_knn" for _, column in table.cells)
    assert {row for row, _ in run_cells(table)} == {*METHODS, "random"}
