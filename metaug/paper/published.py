"""The numbers printed in the paper (Li et al., ICML 2022), transcribed in published.csv."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

PUBLISHED_CSV = Path(__file__).with_name("published.csv")


class PublishedValue(NamedTuple):
    """A printed number, per cent.

    Attributes:
        value: nan where a figure shows a position alone.
        ci95: half-width of the 95 % interval; nan where none is printed.
        quoted: the paper took the number from elsewhere († in its tables).
    """

    value: float
    ci95: float
    quoted: bool


NOT_PRINTED = PublishedValue(float("nan"), float("nan"), False)


@cache
def load_published() -> pd.DataFrame:
    """All printed numbers, one row each.

    artefact   table1 ... table6, figure3, figure5, figure7
    row, column   the place, by the names in our CSV of that artefact
    value      per cent, float; nan where a figure shows a position only
    ci95       half-width of the 95 % interval, float; nan where none is printed
    quoted     bool: the paper took the number from elsewhere († in the tables)
    note       free text
    """
    texts = dict.fromkeys(["artefact", "row", "column", "note"], "str")
    types = {**texts, "value": "float64", "ci95": "float64", "quoted": "bool"}
    empty_is_missing = {"value": [""], "ci95": [""]}
    return pd.read_csv(
        PUBLISHED_CSV, dtype=types, keep_default_na=False, na_values=empty_is_missing
    )


@cache
def printed(artefact: str) -> dict[tuple[str, str], PublishedValue]:
    """What the paper prints in an artefact, by row and column.

    Raises:
        ValueError: an unknown artefact, or two numbers in one place.
    """
    table = load_published()
    rows = table[table["artefact"] == artefact]
    if rows.empty:
        raise ValueError(f"nothing is transcribed of {artefact!r}")
    if rows.duplicated(["row", "column"]).any():
        raise ValueError(f"two numbers are transcribed in one place of {artefact}")
    return {
        (row.row, row.column): PublishedValue(row.value, row.ci95, row.quoted)
        for row in rows.itertuples()
    }
