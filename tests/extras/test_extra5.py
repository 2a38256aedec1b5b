import pytest

from metaug.extras import extra5
from metaug.method import registered_methods
from metaug.reporting.results import Results
from tests.paper.synthetic import (
    TRIALS,
    check_cell,
    frame_of,
    mean_of,
    plan_of,
    render_of,
    run_cells,
)


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("lite", extra5)


def spec_of(method):
    return plan_of("lite").grid.spec(method, "cifar10")


def test_every_registered_method_has_a_row_that_was_run(table):
    floors = {"random_rgb", "random_l_ab", "random_rgb_l_ab"}
    assert {row for row, _ in run_cells(table)} == set(registered_methods()) - {"random"} | floors


def test_accuracies_are_those_of_the_trainings(table):
    for method in ("nat", "swav_hard", "metaug"):
        for probe in ("conv", "fc6", "fc"):
            check_cell(table, method, probe, mean_of(spec_of(method), f"{probe};"))
        check_cell(table, method, "knn", mean_of(spec_of(method), "conv;", "knn_top1"))
    check_cell(table, "random_rgb", "fc6", mean_of(spec_of("random"), "fc6;"))


def test_gains_on_the_untrained_network_are_paired(table):
    """The synthetic trials of all specs differ by the same steps: paired, nothing is left."""
    gain = table.cells["byol", "fc_gain"].ours
    assert gain.mean == pytest.approx(
        mean_of(spec_of("byol"), "fc;") - mean_of(spec_of("random"), "fc;")
    )
    assert gain.half_width == pytest.approx(0, abs=1e-9)
    assert gain.n == TRIALS
    assert gain.specs == (spec_of("byol").hash, spec_of("random").hash)
    assert ("random_rgb", "fc_gain") not in run_cells(table)


@pytest.mark.parametrize(
    ("method", "views"), [("splitbrain", ("l", "ab")), ("metaug", ("rgb", "l", "ab"))]
)
@pytest.mark.parametrize("probe", ["conv", "fc6", "fc"])
def test_a_gain_is_over_the_floor_of_the_methods_own_views(table, method, views, probe):
    floor = plan_of("lite").grid.spec("random", "cifar10", views=views)
    gain = table.cells[method, f"{probe}_gain"].ours
    assert gain.mean == pytest.approx(
        mean_of(spec_of(method), f"{probe};") - mean_of(floor, f"{probe};")
    )
    assert gain.specs == (spec_of(method).hash, floor.hash)


def test_losses_ranks_and_spreads_are_shown(table):
    shown = {column: table.cells["simclr", column].ours.mean for column in extra5.MEASURES}
    assert (shown["first_loss"], shown["last_loss"]) == (3.0, 2.0)
    assert (shown["rank"], shown["std"]) == (20.0, 0.9)
    assert ("random_rgb", "last_loss") not in run_cells(table)


def test_without_the_floor_there_are_no_gains():
    frame = frame_of("lite", extra5)
    rest = Results(frame[frame["method"] != "random"])
    table = extra5.render(plan_of("lite").grid, rest)
    assert not any(column.endswith("gain") for _, column in run_cells(table))
    assert ("simclr", "conv") in run_cells(table)
