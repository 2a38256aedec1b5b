import pytest

from metaug.extras import extra4
from metaug.reporting.results import Results
from tests.paper.synthetic import check_cell, frame_of, mean_of, plan_of, render_of

ORDERS = ("per_pass", "alternating", "simultaneous")


def test_every_cell_is_its_training():
    frame = frame_of("full", extra4)
    table = extra4.render(plan_of("full").grid, Results(frame))
    specs = {o: plan_of("full").grid.spec("metaug", "cifar10", update_order=o) for o in ORDERS}
    for order, spec in specs.items():
        for probe in ("conv", "fc"):
            check_cell(table, order, probe, mean_of(spec, f"{probe};"))
        seconds = frame[(frame["spec"] == spec.hash) & (frame["metric"] == "train_seconds")]
        assert table.cells[order, "seconds"].ours.mean == pytest.approx(seconds["value"].mean())
        change = mean_of(spec, "fc;") - mean_of(specs["per_pass"], "fc;")
        assert table.cells[order, "fc_difference"].ours.mean == pytest.approx(change)


def test_no_row_is_crowned():
    table = render_of("full", extra4)
    assert all(table.best(column) == set() for column in table.columns)
    assert not any(note.startswith("Bold") for note in table.notes())
