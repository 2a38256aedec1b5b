"""What an artefact finds in the tidy frame: its scale, its data sets, its settings by value."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from metaug.reporting.aggregate import CellInterval, cell, select
from metaug.reporting.names import dataset_name
from metaug.reporting.statistics import t_interval

Value = float | str


def scale_of(frame: pd.DataFrame) -> str:
    """The scale of the frame; "" if nothing has been run."""
    return "" if frame.empty else str(frame["scale"].iloc[0])


def datasets_of(frame: pd.DataFrame, *wanted: str) -> tuple[str, ...]:
    """Those of `wanted` that the frame has; if none, what it has; if that is nothing, `wanted`."""
    present = tuple(dict.fromkeys(frame["dataset"]))
    return tuple(name for name in wanted if name in present) or present or wanted


def dataset_of(frame: pd.DataFrame, *wanted: str) -> str:
    """The first of `wanted` that the frame has; if none, what it has; else the first wanted."""
    return datasets_of(frame, *wanted)[0]


def stand_in_note(shown: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The sentence that says so where a data set stands in for the paper's."""
    if set(shown) <= set(wanted):
        return ()
    *rest, last = map(dataset_name, wanted)
    missing = f"{', '.join(rest)} and {last}" if rest else last
    return (
        f"{dataset_name(shown[0])} stands in for {missing}, which this scale does not have; the "
        "paper has no numbers for it.",
    )


def rows_of(frame: pd.DataFrame, **keys: str) -> pd.DataFrame:
    """The rows whose columns have these values."""
    for column, wanted in keys.items():
        frame = frame[frame[column] == wanted]
    return frame


def settings_by(
    frame: pd.DataFrame, defaults: Mapping[str, Value], **keys: str
) -> dict[tuple[Value, ...], str]:
    """The settings that differ in nothing but some keys, by the values of these keys.

    A `setting` of the frame leaves out what is at the default. Here the default is put in: with
    defaults {"alpha": 1e-11, "beta": 16}, the setting "beta=32" is found under (1e-11, 32) and ""
    under (1e-11, 16). Where another default is in force (a user's override), some setting names
    the one given here; then settings that leave that key out have an unknown value and are not
    returned.

    Args:
        frame: tidy frame.
        defaults: the keys that may differ, and their defaults.
        **keys: other columns of the frame, as in `select`.
    """
    settings = {text: _values(text) for text in rows_of(frame, **keys)["setting"].unique()}
    named = {pair for values in settings.values() for pair in values.items()}
    implied = {key: value for key, value in defaults.items() if (key, value) not in named}
    found: dict[tuple[Value, ...], str] = {}
    for text, values in settings.items():
        complete = {**implied, **values}
        if complete.keys() == defaults.keys():
            found[tuple(complete[key] for key in defaults)] = text
    return found


def _values(setting: str) -> dict[str, Value]:
    pairs = (part.partition("=") for part in setting.split(";") if part)
    return {key: _number_or_text(text) for key, _, text in pairs}


def _number_or_text(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text


def intervals_by(
    frame: pd.DataFrame, defaults: Mapping[str, Value], **keys: str
) -> dict[tuple[Value, ...], CellInterval]:
    """Mean and interval of the cells that `settings_by` finds."""
    rows = rows_of(frame, **keys)
    settings = settings_by(rows, defaults)
    return {values: cell(rows, setting=text, **keys) for values, text in settings.items()}


def difference(frame: pd.DataFrame, setting: str, reference: str, **keys: str) -> CellInterval:
    """Mean and interval of the difference, paired by trial, of a setting from another one."""
    ours = select(frame, setting=setting, **keys)
    parts = [cell(frame, setting=text, **keys) for text in (setting, reference)]
    return derived((ours - select(frame, setting=reference, **keys)).dropna(), parts)


def derived(values: pd.Series, parts: Iterable[CellInterval]) -> CellInterval:
    """Mean and interval of values by trial that were computed from the cells `parts`."""
    interval = CellInterval(*t_interval(values))
    interval.specs = tuple(dict.fromkeys(spec for part in parts for spec in part.specs))
    return interval
