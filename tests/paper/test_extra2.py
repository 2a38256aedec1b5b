import pandas as pd
import pytest

from metaug.algorithm.discrepancies import VARIANTS
from metaug.paper import extra2, extra4
from metaug.reporting.aggregate import COLUMNS
from tests.paper.synthetic import (
    NOTHING,
    check_cell,
    frame_of,
    mean_of,
    plan_of,
    run_cells,
    specs_of,
)

LEFT_OUT = {"margin_originals", "mag_probe_mode"}
"""Without effect alone; a footnote says why."""


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return extra2.render(frame_of("full", extra2))


def test_every_difference_between_text_and_code_has_a_row():
    text, code = VARIANTS["published"], VARIANTS["released"]
    differing = {key for key in text if text[key] != code[key]}
    assert set(extra2.SWITCHES) == differing - LEFT_OUT | {"views"}


def test_every_cell_is_its_training(table):
    grid = plan_of("full").grid
    changes = {"published": {}, "released": {"variant": "released"}}
    changes |= {s: {s: VARIANTS["released"][s]} for s in extra2.SWITCHES if s != "views"}
    changes["views"] = {"views": ("lab", "l", "ab")}
    assert {row.name for row in table.rows} == set(changes)
    for row, change in changes.items():
        spec = grid.spec("metaug", "cifar10", **change)
        for probe in ("conv", "fc"):
            check_cell(table, row, probe, mean_of(spec, f"{probe};"))


def test_a_switch_alone_changes_one_thing():
    default = plan_of("full").grid.spec("metaug", "cifar10")
    differences = [spec.difference(default) for spec in specs_of("full", extra2)]
    several = [text for text in differences if ";" in text]
    assert len(several) == 1
    assert "variant=released" in several[0].split(";")


def test_a_smaller_scale_has_fewer_rows():
    rows = [row.name for row in extra2.render(frame_of("smoke", extra2)).rows]
    switches = plan_of("smoke").grid.values("extra2.switches", ("",))
    assert set(rows) == {"published", "released", *switches}
    assert len(extra2.render(NOTHING).rows) == 2 + len(extra2.SWITCHES)


def test_a_user_whose_default_is_the_code_still_gets_both_rows_right():
    plan = plan_of.__wrapped__("smoke", overrides={"metaug": {"variant": "released"}})
    (dataset,) = plan.grid.datasets("cifar10")
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            **{"scale": "smoke", "spec": spec.hash, "method": "metaug", "dataset": dataset},
            **{"backbone": "alexnet", "probe": "conv", "metric": "top1"},
            **{"setting": plan.setting(spec), "trial": 0, "seed": 1000, "value": mean_of(spec, "")},
        }
        for spec in extra2.trials(plan.grid)
    ]
    table = extra2.render(pd.DataFrame(rows))
    for variant in VARIANTS:
        spec = plan.grid.spec("metaug", dataset, variant=variant, views=extra2.VIEWS[variant])
        assert table.cells[variant, "conv"].ours.mean == mean_of(spec, "")
    assert {row for row, _ in run_cells(table)} >= {"published", "released", "loss", "prefix"}


def test_alternating_updates_are_trained_once_for_both_extras():
    both = {s.hash for s in specs_of("full", extra2)} & {s.hash for s in specs_of("full", extra4)}
    assert len(both) == 2  # the default, and alternating
