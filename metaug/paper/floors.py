"""Floors: what an untrained network of the same architecture gives.

Networks differ in what they give untrained: three half-width encoders of colour views have more
features than one of RGB. So every table of accuracies shows the floor of each network in it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from metaug.config import Grid
from metaug.method import registered_methods
from metaug.paper.cells import rows_of, settings_by
from metaug.reporting.aggregate import cell
from metaug.reporting.names import view_names
from metaug.reporting.tables import Cell, Row
from metaug.spec import TrialSpec

FLOOR = "random"
"""The method that does not train."""

RGB = ("rgb",)
ARCHITECTURE = ("views", "width", "view_width", "image_size", "train_images", "probe")
"""Fields of a spec, besides data set and backbone, on which the floor depends: those of the
network, and what its probe learns from."""

Views = tuple[str, ...]


def floor_of(grid: Grid, spec: TrialSpec) -> TrialSpec:
    """The spec of the untrained network of the same views, width, backbone, data and probe."""
    same: dict[str, Any] = {field: getattr(spec, field) for field in ARCHITECTURE}
    return grid.spec(FLOOR, spec.dataset, spec.backbone, **same)


def with_floors(grid: Grid, specs: Iterable[TrialSpec]) -> list[TrialSpec]:
    """The specs and, if the user wants them, their distinct floors."""
    specs = list(specs)
    wanted = grid.wanted((FLOOR,))
    return [*specs, *dict.fromkeys(floor_of(grid, spec) for spec in specs if wanted)]


def views_of(method: str) -> Views:
    """The views that a method sees by default; RGB for one that is not known."""
    kind = registered_methods().get(method)
    return kind.default_views if kind else RGB


def views_of_all(methods: Iterable[str]) -> tuple[Views, ...]:
    """The distinct views of some methods, RGB first and more views later."""
    return tuple(sorted({views_of(method) for method in methods}, key=lambda v: (len(v), v)))


def floor_row(views: Views) -> Row:
    """The row of a floor, such as "Untrained, RGB"."""
    return Row(row_name(views), (f"Untrained, {view_names(views)}",), ranked=False)


def row_name(views: Views) -> str:
    return "_".join((FLOOR, *views))


def floor_settings(frame: pd.DataFrame, backbone: str = "alexnet") -> dict[Views, str]:
    """The settings of the frame's floors, the same for all data sets, by their views."""
    rows = rows_of(frame, method=FLOOR, backbone=backbone)
    found = settings_by(rows, {"views": "|".join(RGB)})
    return {tuple(str(views).split("|")): setting for (views,), setting in found.items()}


def floor_cells(
    frame: pd.DataFrame,
    dataset: str,
    columns: Mapping[str, tuple[str, str]],
    views: Iterable[Views],
    backbone: str = "alexnet",
) -> dict[tuple[str, str], Cell]:
    """The cells of the rows of some floors.

    Args:
        frame: tidy frame.
        dataset, backbone: of the floors.
        columns: probe and metric of each column, by its name.
        views: of the rows (`floor_row`).
    """
    settings = floor_settings(frame, backbone)
    rows = rows_of(frame, method=FLOOR, dataset=dataset, backbone=backbone)
    return {
        (row_name(seen), column): Cell(
            cell(rows, setting=settings[seen], probe=probe, metric=metric)
        )
        for seen in views
        if seen in settings
        for column, (probe, metric) in columns.items()
    }
