"""What a plan costs, from the speeds of its steps."""

import re

import pytest

from metaug.suite.cost import cheapest_part, cost_of, costs_of, hours_of, is_possible, print_plan
from metaug.suite.plan import Plan, load_plan
from metaug.suite.speed import Speed


def speeds_of(plan: Plan, seconds: float = 0.5, passes: int = 1) -> dict[str, Speed]:
    return dict.fromkeys(plan.specs, Speed(seconds, passes))


def test_hours_are_steps_times_their_seconds(plan):
    (spec,) = (s for s in plan.specs_of["table1"] if s.method == "simclr")
    spec = spec.model_copy(update={"epochs": 10, "batch_size": 64, "train_images": 1000})
    # 15 whole batches an epoch, two passes
    assert hours_of(plan, spec, Speed(0.5, 2)) == pytest.approx(10 * 2 * 15 * 0.5 / 3600)


def test_every_artefact_with_trials_has_a_cost(plan):
    costs = {cost.artefact: cost for cost in costs_of(plan, speeds_of(plan))}
    # the dot plot shows the numbers of Table 1
    assert set(costs) == set(plan.rendered) & set(plan.artefacts) - {"dots1"}
    assert costs["table1"].specs == len(plan.specs_of["table1"])
    assert costs["table1"].cells == len(plan.cells["table1"])


def test_a_batch_that_is_more_than_the_images_has_no_hours(project, capsys):
    config = {"overrides": {"simclr": {"batch_size": 1000}}, "methods": ["simclr"]}
    plan = load_plan(config)
    for spec in plan.specs.values():  # 1,000 images were asked for, so many there are
        assert is_possible(plan, spec) == (spec.batch_size <= 1000)
    large = {
        s.hash: s.model_copy(update={"batch_size": 2048, "train_images": 1000})
        for s in plan.specs_of["table1"]
    }
    speeds = dict.fromkeys((s.hash for s in large.values()), Speed(1.0, 1))
    found = cost_of(plan, "table1", large.values(), speeds)
    assert (found.hours, found.impossible, found.specs) == (0, 1, 1)
    plan.specs_of["table1"] = tuple(large.values())
    plan.specs.update({spec.hash: spec for spec in large.values()})
    print_plan(plan)
    out = capsys.readouterr().out
    assert re.search(r"^table1 .* —\* ", out, re.M)
    assert "* table1: 2 of its trainings cannot run and cost nothing here: their batch" in out
    assert "cheapest useful part" not in out


def test_the_cheapest_part_is_table_1_on_the_data_set_of_the_fewest_hours(project):
    plan = load_plan({"scale": "full", "methods": ["simclr"]})
    text = cheapest_part(plan, speeds_of(plan))
    # 300 epochs of 78 steps of half a second, 20 trials
    assert "by data set, in core-hours: stl10 65.0, cifar10 650.8, cifar100 650.8, tiny" in text
    assert "on stl10: 20 trainings, 65.0 core-hours; with trials=5, the fewest that" in text
    assert text.endswith("""--config scale=full 'datasets=["stl10"]' 'methods=["simclr"]'""")
