import pytest

from metaug.algorithm.discrepancies import DISCREPANCIES, VARIANTS, VIEWS
from metaug.extras import extra2, extra4
from tests.paper.synthetic import (
    check_cell,
    mean_of,
    plan_of,
    render_nothing,
    render_of,
    results_from,
    run_cells,
    specs_of,
)


@pytest.fixture(scope="module", name="table")
def table_fixture():
    return render_of("full", extra2)


def test_every_difference_between_text_and_code_has_a_row():
    listed = {d.name: d.text for d in DISCREPANCIES if d.where != "measure"}
    assert set(extra2.WITHOUT_EFFECT) < set(listed)
    assert set(extra2.SWITCHES) == set(listed) - set(extra2.WITHOUT_EFFECT)
    assert all(extra2.LABELS[switch] == listed[switch] for switch in extra2.SWITCHES)


def test_every_cell_is_its_training(table):
    grid = plan_of("full").grid
    changes = {"published": {}, "released": {"variant": "released"}}
    changes |= {s: {s: d.released} for s, d in extra2.SWITCHES.items()}
    changes["optimizer"] = {"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4}
    changes["recipe"] = {"preset": "own"}
    specs = {row: grid.spec("metaug", "cifar10", **change) for row, change in changes.items()}
    for views in (("rgb", "l", "ab"), ("lab", "l", "ab")):
        specs["_".join(("random", *views))] = grid.spec("random", "cifar10", views=views)
    large = grid.spec("random", "cifar10", views=("lab", "l", "ab"), image_size=224)
    specs[f"random_lab_l_ab_{large.hash}"] = large
    assert {row.name for row in table.rows} == set(specs)
    for row, spec in specs.items():
        for probe in ("conv", "fc"):
            check_cell(table, row, probe, mean_of(spec, f"{probe};"))


def test_a_switch_alone_changes_one_thing():
    default = plan_of("full").grid.spec("metaug", "cifar10")
    specs = [spec for spec in specs_of("full", extra2) if spec.method == "metaug"]
    changes = [spec.difference(default).split(";") for spec in specs]
    several = sorted((change for change in changes if len(change) > 1), key=len)
    optimiser, released, recipe = several
    assert optimiser == ["learning_rate=0.03", "optimizer=sgd", "weight_decay=0.0001"]
    assert "variant=released" in released
    assert {*released, *optimiser, "image_size=224"} <= {*recipe}


def test_a_smaller_scale_has_fewer_rows():
    rows = [row.name for row in render_of("smoke", extra2).rows]
    switches = plan_of("smoke").grid.values("extra2.switches", ("",))
    floors = {"random_rgb_l_ab", "random_lab_l_ab"}
    assert set(rows) == {"published", "recipe", "released", *switches, *floors}
    assert len(render_nothing(extra2).rows) == 3 + len(extra2.SWITCHES) + 3


def test_a_user_whose_default_is_the_code_still_gets_both_rows_right():
    plan = plan_of.__wrapped__("smoke", overrides={"metaug": {"variant": "released"}})
    (dataset,) = plan.grid.datasets("cifar10")
    queries = extra2.cells(plan.grid).values()
    results = results_from({query: [mean_of(query.spec, "")] for query in queries})
    table = extra2.render(plan.grid, results)
    for variant in VARIANTS:
        spec = plan.grid.spec("metaug", dataset, variant=variant, views=VIEWS[variant])
        assert table.cells[variant, "conv"].ours.mean == mean_of(spec, "")
    assert {row for row, _ in run_cells(table)} >= {"published", "released", "loss", "prefix"}


def test_alternating_updates_are_trained_once_for_both_extras():
    both = {s.hash for s in specs_of("full", extra2)} & {s.hash for s in specs_of("full", extra4)}
    assert len(both) == 3  # the default, alternating, and the floor


def test_it_says_which_row_has_the_releases_recipe():
    (note,) = [n for n in extra2.FOOTNOTES if n.startswith("The release's whole recipe alone")]
    for matter in ("SGD", "300 epochs", "224 pixels", "All other rows"):
        assert matter in note
