"""`hours=` trains what decides most, renders what there is, and goes on where it stopped."""

import contextlib
import csv

import pytest

from metaug.data.arrays import recorded_digest
from metaug.suite.plan import load_plan
from tests.paper.synthetic import write_records
from tests.workflow.conftest import Project

CONFIG = ("--config", "methods=[cmc,metaug_oucl]")


@pytest.mark.end_to_end
def test_a_budget_is_spent_and_the_same_command_spends_as_much_again(fresh: Project) -> None:
    """Of every training there are two trials, of 90 s in the mean: an hour is 40 of them."""
    assert fresh.snakemake("data/digits_m-32/manifest.json").returncode == 0
    with contextlib.chdir(fresh.folder):
        plan = load_plan({"methods": ["cmc", "metaug_oucl"]})
        for spec in plan.specs_of["claims"]:
            write_records(plan, spec, recorded_digest(plan.data_folder(spec)))
    counts = [len(fresh.records())]
    assert fresh.snakemake("scorecard", *CONFIG, "hours=0").returncode == 0
    assert len(fresh.records()) == counts[0]
    for _ in range(2):
        done = fresh.snakemake("scorecard", "table1", *CONFIG, "hours=0.1")
        assert done.returncode == 0, done.stderr
        counts.append(len(fresh.records()))
    assert counts[0] < counts[1] < counts[2] <= counts[0] + 8
    with (fresh.folder / "results/smoke/scorecard_comparisons.csv").open() as file:
        assert {row["id"] for row in csv.DictReader(file)} >= {"C1", "C2", "C3"}
    assert fresh.snakemake("table1", *CONFIG, "hours=0").returncode == 0
    assert len(fresh.records()) == counts[-1]


@pytest.mark.end_to_end
def test_hours_and_trials_are_not_both_given(fresh: Project) -> None:
    done = fresh.snakemake("--dry-run", "scorecard", "--config", "hours=1", "trials=3")
    assert done.returncode != 0
    assert "hours decides how many trials are trained: leave out trials" in done.stderr
    assert "Traceback" not in done.stderr
