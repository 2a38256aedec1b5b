"""The templates of pages and tables, and how numbers are written in them."""

import math
from pathlib import Path

import jinja2

DASH = "—"


def signed(value: float) -> str:
    """A difference with its sign, two decimals from 1 on and three below: +1.25, −0.041, +∞."""
    return DASH if math.isnan(value) else _signed(value, _decimals(value))


def interval(low: float, high: float) -> str:
    """An interval of differences, both ends with as many decimals: [+0.80, +1.62]; nothing where
    there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    decimals = min(_decimals(low), _decimals(high))
    return f"[{_signed(low, decimals)}, {_signed(high, decimals)}]"


def _decimals(value: float) -> int:
    return 2 if round(abs(value), 3) >= 1 else 3


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−").replace("inf", "∞")


def p_value(p: float) -> str:
    if math.isnan(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """A time span in its largest fitting unit: 41 s, 3.5 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sort_key(value: float | None) -> str:
    """What a table is sorted by, to six digits: more would only make the page larger."""
    return "" if value is None else f"{value:.6g}"


def escape_markdown(text: str) -> str:
    return text.translate({ord(character): "\\" + character for character in "\\|*_`<>[]"})


_LOADER = jinja2.FileSystemLoader(Path(__file__).parent)
HTML = jinja2.Environment(loader=_LOADER, autoescape=True, trim_blocks=True, lstrip_blocks=True)
MARKDOWN = jinja2.Environment(loader=_LOADER, trim_blocks=True, lstrip_blocks=True)
for _environment in (HTML, MARKDOWN):
    _environment.filters |= {
        "signed": signed,
        "interval": interval,
        "p_value": p_value,
        "duration": duration,
        "sort_key": sort_key,
        "markdown": escape_markdown,
    }
