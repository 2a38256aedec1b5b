import pytest

from metaug.extras import extra1
from metaug.reporting.results import Results, failed_of
from tests.paper.synthetic import (
    TRIALS,
    check_cell,
    frame_of,
    mean_of,
    plan_of,
    render_of,
    run_cells,
)

ORDERS = ("exact", "first_order", "none")


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("full", extra1)


def spec_of(order):
    return plan_of("full").grid.spec("metaug", "cifar10", order=order)


def test_accuracies_are_those_of_the_trainings(table):
    for order in ORDERS:
        for probe in ("conv", "fc"):
            check_cell(table, order, probe, mean_of(spec_of(order), f"{probe};"))


def test_differences_are_paired(table):
    """The synthetic trials of all specs differ by the same steps: paired, nothing is left."""
    for order in ORDERS[1:]:
        ours = table.cells[order, "fc_difference"].ours
        difference = mean_of(spec_of(order), "fc;") - mean_of(spec_of("exact"), "fc;")
        assert ours.mean == pytest.approx(difference)
        assert ours.half_width == pytest.approx(0, abs=1e-9)
        assert ours.n == TRIALS
    assert table.cells["exact", "fc_difference"].ours.mean == 0


def test_the_share_is_per_cent_and_the_time_in_seconds(table):
    assert table.cells["exact", "share"].ours.mean == pytest.approx(25)
    assert table.cells["first_order", "share"].ours.mean == 0
    assert 100 <= table.cells["none", "seconds"].ours.mean < 150
    assert table.cells["none", "share"].ours.specs == (spec_of("none").hash,)


def test_without_the_reference_there_are_no_differences():
    frame = frame_of("full", extra1)
    rest = Results(frame[frame["spec"] != spec_of("exact").hash])
    table = extra1.render(plan_of("full").grid, rest)
    assert not any(column.endswith("difference") for _, column in run_cells(table))
    assert ("none", "fc") in run_cells(table)


@pytest.mark.parametrize("order", ["exact", "first_order"])
def test_a_training_that_failed_is_named_in_its_own_row_alone(order):
    frame = frame_of("full", extra1)
    failed = ("trial 0: loss is nan at step 12 (epoch 0)",)
    rest = frame[frame["spec"] != spec_of(order).hash]
    table = extra1.render(plan_of("full").grid, Results(rest, {spec_of(order).hash: failed}))
    assert failed_of(table.cells[order, "conv"].ours) == failed
    notes = [note for note in table.notes() if note.startswith("§")]
    (row,) = (row for row in table.rows if row.name == order)
    assert notes == [f"§ {', '.join(row.labels)}: {failed[0]}; not in the mean."]
