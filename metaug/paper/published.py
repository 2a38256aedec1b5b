"""The numbers printed in the paper (Li et al., ICML 2022), transcribed in published.csv."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

PUBLISHED_CSV = Path(__file__).with_name("published.csv")
TEXTS = ["artefact", "method", "dataset", "backbone", "metric", "setting", "note"]


class PublishedValue(NamedTuple):
    """A printed number. nan where the paper prints none (`value`) or no interval (`ci95`)."""

    value: float
    ci95: float
    quoted: bool


NOT_PRINTED = PublishedValue(float("nan"), float("nan"), False)


def load_published() -> pd.DataFrame:
    """All printed numbers, one row each.

    artefact   table1 ... table6, figure3, figure5, figure7
    method, dataset, metric   as in the tidy frame; dataset may be "average" (Table 2)
    backbone   the paper's column: "conv" and "fc" are the read-outs of an AlexNet (`probe` in the
               tidy frame), "resnet50" is a backbone; "" means one number for conv and fc
    value      per cent, float; nan where a figure shows a position only
    ci95       half-width of the 95 % interval, float; nan where none is printed
    quoted     bool: the paper took the number from elsewhere († in the tables)
    setting    the paper's words: an augmentation set, a view setting, "delta=1e-5", ...
    note       free text
    """
    return _read().copy()


@cache
def _read() -> pd.DataFrame:
    types = {**dict.fromkeys(TEXTS, "str"), "value": "float64", "ci95": "float64", "quoted": "bool"}
    empty_is_missing = {"value": [""], "ci95": [""]}
    return pd.read_csv(
        PUBLISHED_CSV, dtype=types, keep_default_na=False, na_values=empty_is_missing
    )


def published_value(
    artefact: str,
    method: str,
    dataset: str,
    backbone: str,
    metric: str,
    setting: str = "",
    quoted: bool | None = None,
) -> PublishedValue:
    """The printed number of one cell; `NOT_PRINTED` where the paper has none.

    `backbone` is "conv", "fc" or "resnet50", see `load_published`. `quoted` chooses between the
    two numbers of one cell that Table 6 prints for CMC (quoted, and re-implemented).

    Raises:
        ValueError: an unknown artefact, or a cell with two numbers and `quoted` not given.
    """
    table = _read()
    if artefact not in set(table["artefact"]):
        raise ValueError(f"nothing is transcribed of {artefact!r}")
    chosen = (
        (table["artefact"] == artefact)
        & (table["method"] == method)
        & (table["dataset"] == dataset)
        & (table["metric"] == metric)
        & (table["setting"] == setting)
        & ((table["backbone"] == backbone) | (table["backbone"] == ""))
    )
    if quoted is not None:
        chosen &= table["quoted"] == quoted
    rows = table[chosen]
    if rows.empty:
        return NOT_PRINTED
    if len(rows) > 1:
        cell = f"{artefact} {method} {dataset} {backbone} {metric} {setting}"
        raise ValueError(f"the paper prints {len(rows)} numbers for {cell}: say quoted=")
    row = rows.iloc[0]
    return PublishedValue(float(row["value"]), float(row["ci95"]), bool(row["quoted"]))
