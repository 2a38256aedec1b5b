"""What holds of every table, figure and extra."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

import pytest

import metaug.extras
import metaug.paper
from metaug.grid import Grid
from metaug.method import registered_methods
from metaug.paper import figure2, figure4, figure6, table1, table4, table5
from metaug.reporting.figures import SCALE_TITLES, Drawing
from metaug.reporting.names import SCALE_NOTES
from metaug.reporting.results import CellInterval, Results
from metaug.reporting.tables import Cell, Table, write_latex
from tests.paper.synthetic import (
    SCALES,
    frame_of,
    plan_of,
    render_nothing,
    render_of,
    results_of,
    run_cells,
    specs_of,
)

ARTEFACTS = {
    info.name: importlib.import_module(f"{package.__name__}.{info.name}")
    for package in (metaug.paper, metaug.extras)
    for info in pkgutil.iter_modules(package.__path__)
    if info.name.startswith(("table", "figure", "dots", "extra")) and info.name != "figure1"
}
SMOKE_BUDGET = 120
"""Distinct trainings of all artefacts at smoke: 30 minutes on two cores."""

every_artefact = pytest.mark.parametrize("artefact", ARTEFACTS.values(), ids=ARTEFACTS)
every_scale = pytest.mark.parametrize("scale", SCALES)


def test_all_are_there():
    wanted = [f"table{i}" for i in range(1, 7)] + [f"figure{i}" for i in range(2, 8)]
    assert set(ARTEFACTS) == {*wanted, "dots1", *(f"extra{i}" for i in range(1, 8))}


@cache
def rendered(artefact: ModuleType, scale: str) -> Table | Drawing:
    """The artefact where all that it asks for has been run."""
    return render_of(scale, artefact)


def specs_behind(cell: Cell) -> tuple[str, ...]:
    return cell.ours.specs if isinstance(cell.ours, CellInterval) else ()


@every_scale
@every_artefact
def test_trials_are_of_methods_that_exist_and_data_sets_of_the_scale(artefact, scale):
    plan = plan_of(scale)
    specs = specs_of(scale, artefact)
    assert specs
    for spec in specs:
        assert spec.scale == scale
        assert spec.method in registered_methods()
        assert spec.dataset in plan.scale.datasets


@every_scale
@every_artefact
def test_what_is_trained_is_shown(artefact: ModuleType, scale: str):
    shown = rendered(artefact, scale)
    if isinstance(shown, Table):
        wanted = {spec.hash for spec in specs_of(scale, artefact)}
        assert {s for cell in shown.cells.values() for s in specs_behind(cell)} == wanted
    else:
        grid = plan_of(scale).grid
        results, means = results_of(scale, artefact), set(shown.data["mean"].round(6))
        for query in artefact.cells(grid).values():
            assert round(results.interval(query).mean, 6) in means


@every_scale
@every_artefact
def test_every_query_of_a_table_fills_its_place(artefact, scale):
    shown = rendered(artefact, scale)
    if isinstance(shown, Table):
        places = set(artefact.cells(plan_of(scale).grid))
        assert places <= {(r.name, c.name) for r in shown.rows for c in shown.columns}
        assert places <= run_cells(shown)


@pytest.mark.parametrize("scale", ["smoke", "lite"])
@every_artefact
def test_a_number_that_is_missing_is_missing_in_its_places_alone(artefact, scale):
    plan = plan_of(scale)
    asked = artefact.cells(plan.grid)
    missing = next(iter(asked.values()))
    frame = frame_of(scale, artefact)
    gone = (frame["spec"] == missing.spec.hash) & (frame["readout"] == missing.readout)
    results = Results(frame[~(gone & (frame["metric"] == missing.metric))])
    for query in asked.values():
        assert (results.interval(query).n == 0) == (query == missing)
    shown, whole = artefact.render(plan.grid, results), rendered(artefact, scale)
    if isinstance(shown, Table):
        lost = run_cells(whole) - run_cells(shown)
        assert {place for place, query in asked.items() if query == missing} <= lost
        for place, query in asked.items():
            if query != missing:
                assert shown.cells[place].ours == whole.cells[place].ours
    else:
        assert len(shown.data) == len(whole.data)


@every_artefact
def test_without_results_there_is_an_empty_table_or_plot(artefact):
    shown = render_nothing(artefact)
    if isinstance(shown, Table):
        assert run_cells(shown) == set()
        assert shown.rows
        assert shown.columns
    else:
        assert "Nothing has been run." in shown.caption
        assert shown.data["mean"].isna().all()


@pytest.mark.parametrize("scale", ["smoke", "lite"])
@every_artefact
def test_the_scale_is_named(artefact, scale):
    shown = rendered(artefact, scale)
    if isinstance(shown, Table):
        assert SCALE_NOTES[scale] in shown.full_caption()
    else:
        assert SCALE_NOTES[scale] in shown.caption
        assert SCALE_TITLES[scale] in shown.figure.get_suptitle()


@every_scale
@every_artefact
def test_tables_have_no_character_that_plain_latex_does_not_know(artefact, scale, tmp_path):
    shown = rendered(artefact, scale)
    if isinstance(shown, Table):
        write_latex(shown, tmp_path / "table.tex")
        assert set((tmp_path / "table.tex").read_text()) <= set(map(chr, range(128)))


@every_artefact
def test_a_stand_in_is_confessed_and_compared_with_nothing(artefact):
    shown = rendered(artefact, "smoke")
    if isinstance(shown, Table):
        assert all(cell.published != cell.published for cell in shown.cells.values())
        if not artefact.__name__.rpartition(".")[2].startswith("extra"):
            assert any("stands in for" in note for note in shown.footnotes)
    elif isinstance(shown, Drawing):
        assert "stands in for" in shown.caption
        if "published" in shown.data:
            assert shown.data["published"].isna().all()


def test_equal_numbers_of_two_artefacts_are_one_query():
    tables = plan_of("full").cells
    assert (
        tables["table1"]["metaug", "cifar10_conv"]
        == tables["table5"]["metaug_delta_1e-5", "without"]
    )
    assert tables["table1"]["metaug", "cifar10_fc"] == tables["table4"]["set5", "metaug"]


@every_artefact
def test_methods_that_the_user_leaves_out_are_not_asked_for(artefact):
    plan = plan_of("smoke")
    config = plan.config.model_copy(update={"methods": ("random",)})
    queries = artefact.cells(Grid(plan.scale, config)).values()
    assert {query.spec.method for query in queries} <= {"random"}


def test_smoke_stays_within_its_budget():
    assert len(specs_of("smoke", *ARTEFACTS.values())) <= SMOKE_BUDGET


@every_scale
def test_metaug_at_its_default_is_trained_once_for_all_artefacts_that_show_it(scale):
    plan = plan_of(scale)
    (dataset,) = plan.grid.datasets("cifar10")
    default = plan.grid.spec("metaug", dataset)
    artefacts = [table1, table4, table5, figure2, figure4, figure6]
    # Table 4 states its own augmentations; its fifth set is the protocol's at lite and full.
    if default.augmentation != plan.grid.spec("metaug", dataset, augmentation="cmc").augmentation:
        artefacts.remove(table4)
    for artefact in artefacts:
        assert default in specs_of(scale, artefact)


@pytest.mark.parametrize("scale", ["smoke", "lite"])
def test_every_grid_value_of_a_scale_is_used(scale):
    grid = plan_of(scale).grid
    for artefact in ARTEFACTS.values():
        artefact.cells(grid)
    assert set(grid.scale.grid) <= grid.keys_read
