"""Tables, figures and claims on a data set that is the user's own."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from metaug.config import load_config
from metaug.data.user import sought
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.paper import claims, table1, table2, table3
from metaug.paper.cells import specs_of
from metaug.reporting.aggregate import COLUMNS
from metaug.reporting.results import Results, readout_of
from metaug.reporting.scorecard import html_scorecard
from metaug.reporting.tables import Table, write_latex
from tests.paper.synthetic import NOTHING, SCALE_FILES, record_rows
from tests.paper.test_artefacts import ARTEFACTS

LEAVES = replace(
    sought("leaves_2"), classes=7, image_size=96, training_images=20_000, test_images=500
)


def grid_of(*datasets: str, scale: str = "lite", **config: Any) -> Grid:
    """A grid on these data sets, one of which is `LEAVES`."""
    config = {"scale": scale, "datasets": datasets, **config}
    return Grid(*reversed(load_config(config, SCALE_FILES)), {LEAVES.name: LEAVES})


def results_of(grid: Grid, artefact: ModuleType) -> Results:
    rows = [
        {
            **{"scale": spec.scale, "spec": spec.hash, "trial": trial, "seed": trial},
            **{"method": spec.method, "dataset": spec.dataset, "backbone": spec.backbone},
            **row,
            **{"readout": readout_of(row["probe"], row["setting"]), "setting": ""},
        }
        for spec in specs_of(artefact.cells(grid))
        for trial in range(3)
        for row in record_rows(spec, trial)
    ]
    return Results(pd.DataFrame(rows, columns=COLUMNS))


def test_a_scale_limits_side_and_number_of_images() -> None:
    spec = grid_of("leaves_2").spec("simclr", "leaves_2")
    assert (spec.image_size, spec.train_images) == (64, 10_000)
    spec = grid_of("leaves_2", scale="full").spec("simclr", "leaves_2")
    assert (spec.image_size, spec.train_images) == (96, None)


def test_a_batch_larger_than_the_users_images_is_refused() -> None:
    few = replace(LEAVES, training_images=50)
    config, scale = load_config({"scale": "lite", "datasets": ["leaves_2"]}, SCALE_FILES)
    grid = Grid(scale, config, {"leaves_2": few})
    with pytest.raises(UserError, match="a batch of 64 is more than the 50 training images"):
        grid.check_batch(grid.spec("simclr", "leaves_2"))


@pytest.mark.parametrize("table", [table1, table2])
def test_a_column_says_that_the_paper_has_no_numbers_for_it(table: ModuleType) -> None:
    grid = grid_of("cifar10", "leaves_2")
    shown = table.render(grid, results_of(grid, table))
    headers = {column.name: column.header[0] for column in shown.columns}
    (ours, *_) = (column for column in shown.columns if column.name.startswith("leaves_2"))
    assert headers[ours.name] == "leaves_2, not in the paper"
    assert "CIFAR-10" in headers.values()
    assert shown.cells["metaug", ours.name].ours.n == 3
    assert not any(cell.published >= 0 for (_, c), cell in shown.cells.items() if c == ours.name)
    (note,) = (note for note in shown.footnotes if note.startswith("leaves_2"))
    assert note == (
        "leaves_2 is a user's own data set, for which the paper has no numbers: 7 classes, 10,000 "
        "of 20,000 training images, 500 test images, resized to 64 × 64 pixels."
    )


@pytest.mark.parametrize("name", ARTEFACTS)
def test_every_artefact_can_be_made_of_the_users_data_alone(name: str, tmp_path: Any) -> None:
    grid, artefact = grid_of("leaves_2"), ARTEFACTS[name]
    assert {spec.dataset for spec in specs_of(artefact.cells(grid))} == {"leaves_2"}
    shown = artefact.render(grid, results_of(grid, artefact))
    if isinstance(shown, Table):
        assert not any(cell.published >= 0 for cell in shown.cells.values())
        write_latex(shown, tmp_path / "table.tex")
        assert r"leaves\_2" in (tmp_path / "table.tex").read_text()
    elif name == "dots1":  # a panel of its own, as Table 1 has columns of its own
        assert [a.get_title() for a in shown.figure.axes] == ["leaves_2, not in the paper"]
    else:
        assert "leaves_2, a user's own data set, stands in for" in shown.caption


def test_beside_the_papers_data_nothing_stands_in() -> None:
    grid = grid_of("cifar10", "leaves_2")
    assert not table3.cells(grid)
    grid = grid_of("tiny_imagenet", "leaves_2")
    assert {spec.dataset for spec in specs_of(table3.cells(grid))} == {"tiny_imagenet"}


def test_claims_are_about_the_users_data_only_where_there_is_nothing_else() -> None:
    alone, beside = grid_of("leaves_2"), grid_of("cifar10", "leaves_2")
    assert {query.spec.dataset for query in claims.cells(alone).values()} == {"leaves_2"}
    assert {query.spec.dataset for query in claims.cells(beside).values()} == {"cifar10"}
    paper = Grid(*reversed(load_config({"scale": "full"}, SCALE_FILES)))
    for grid in (alone, beside):
        outcomes = claims.decide(grid, NOTHING, paper)
        assert {outcome.verdict for outcome in outcomes} == {"not run"}
        text = html_scorecard(outcomes, "lite")
        assert ("which the paper does not have: leaves_2." in text) == (grid is alone)


def test_specs_of_the_papers_data_do_not_depend_on_the_users() -> None:
    config, scale = load_config({"scale": "lite"}, SCALE_FILES)
    known = table1.cells(Grid(scale, config))
    beside = table1.cells(grid_of("tiny_imagenet", "cifar10", "cifar100", "leaves_2"))
    assert {place: query.spec.hash for place, query in known.items()} == {
        place: query.spec.hash for place, query in beside.items() if "leaves_2" not in place[1]
    }
