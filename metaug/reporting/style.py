"""The one look of all figures: sizes, colours, markers, and how a figure is saved.

Colours are those of Okabe and Ito (colour universal design), which people with any common colour
vision can tell apart. Methods differ in marker and line too, so nothing is lost in grey.
"""

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

import matplotlib.style
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure

from metaug.files import atomic_path

# it warns of the age of matplotlib's own font, at every figure
logging.getLogger("fontTools").setLevel(logging.ERROR)

COLUMN_WIDTH = 3.25  # inches; a column and the text block of the ICML style
TEXT_WIDTH = 6.75

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)

DASHES: tuple[str, ...] = ("-", "--", "-.", ":")


class MethodStyle(NamedTuple):
    """How one method is drawn: `marker` and `linestyle` for curves, `hatch` for bars."""

    color: str
    marker: str
    linestyle: str
    hatch: str


# One colour for a family. (marker, linestyle) and (color, hatch) are each given once.
_STYLES = {
    "metaug": MethodStyle(VERMILLION, "o", "-", ""),
    "metaug_oucl": MethodStyle(VERMILLION, "s", "--", "//"),
    "metaug_mag": MethodStyle(VERMILLION, "^", "-.", "xx"),
    "metaug_nnclr": MethodStyle(VERMILLION, "D", ":", ".."),
    "metaug_randaugment": MethodStyle(VERMILLION, "P", "-", "++"),
    "cmc": MethodStyle(BLUE, "v", "-", "\\\\"),
    "cmc_debiased": MethodStyle(BLUE, "<", "--", "//"),
    "cmc_hard": MethodStyle(BLUE, ">", "-.", "xx"),
    "cmc_randaugment": MethodStyle(BLUE, "X", ":", ".."),
    "simclr": MethodStyle(GREEN, "s", "-", "--"),
    "simclr_debiased": MethodStyle(GREEN, "^", "--", "//"),
    "simclr_hard": MethodStyle(GREEN, "D", "-.", "xx"),
    "looc": MethodStyle(PURPLE, "D", "-", "||"),
    "dacl": MethodStyle(ORANGE, "^", "-", "oo"),
    "byol": MethodStyle(SKY, "p", "-", "\\\\"),
    "simsiam": MethodStyle(SKY, "h", "--", "//"),
    "barlow_twins": MethodStyle(BLACK, "*", "-", "xx"),
    "moco": MethodStyle(PURPLE, "o", "--", ".."),
    "nnclr": MethodStyle(PURPLE, "v", ":", "++"),
    "infomin": MethodStyle(ORANGE, "X", "--", "//"),
    "swav": MethodStyle(ORANGE, "s", "-.", "--"),
    "swav_hard": MethodStyle(ORANGE, "P", "--", "xx"),
    "dim": MethodStyle(BLACK, "v", "--", "//"),
    "nat": MethodStyle(BLACK, "<", "-.", ".."),
    "bigan": MethodStyle(BLACK, ">", ":", "\\\\"),
    "splitbrain": MethodStyle(SKY, "p", "-.", "oo"),
    "cpc_v2": MethodStyle(SKY, "h", ":", "||"),
    "supervised": MethodStyle(GREY, "d", "-", ""),
    "random": MethodStyle(GREY, "x", ":", "//"),
}


def method_style(method: str) -> MethodStyle:
    """The look of a method, the same in every figure; for a method of your own, from its name."""
    if method in _STYLES:
        return _STYLES[method]
    number = crc32(method.encode())
    return MethodStyle(PALETTE[number % 8], "H", DASHES[number // 8 % 4], "**")


@contextmanager
def plot_style() -> Iterator[None]:
    """Draw inside this, whatever matplotlib's settings are outside. Sizes are those of print: make
    figures COLUMN_WIDTH or TEXT_WIDTH wide."""
    import seaborn  # here, because it takes a second or two: every start of Snakemake would wait

    look = seaborn.axes_style("whitegrid") | {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "axes.edgecolor": "0.3",
        "axes.linewidth": 0.8,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "errorbar.capsize": 2,
        "hatch.linewidth": 0.6,
        "axes.prop_cycle": cycler(color=PALETTE),
        "image.cmap": "cividis",  # made for colour-blind readers, and even in grey
        "figure.constrained_layout.use": True,  # and no tight box: the width stays what was asked
        "figure.dpi": 100,
        "pdf.fonttype": 42,  # embedded TrueType; publishers refuse Type 3
    }
    with matplotlib.style.context(["default", look]):
        yield


def save_figure(fig: Figure, stem: Path | str, data: pd.DataFrame) -> None:
    """Write `stem`.pdf, .png (200 dpi) and .csv (the data shown), each atomically.

    Equal figures give equal bytes with one version of matplotlib: no dates are written.
    """
    with plot_style():  # fonts are chosen when a figure is saved, not when it is drawn
        with atomic_path(f"{stem}.pdf") as temporary:
            fig.savefig(temporary, format="pdf", metadata={"CreationDate": None})
        with atomic_path(f"{stem}.png") as temporary:
            fig.savefig(temporary, format="png", dpi=200)
    with atomic_path(f"{stem}.csv") as temporary:
        data.to_csv(temporary, index=False, lineterminator="\n")


PIXELS_PER_INCH = 130
"""On pages, figures are shown a third larger than they are printed."""


def shown_width(figure: Figure) -> int:
    """The width of a figure on a page, in pixels."""
    return round(figure.get_figwidth() * PIXELS_PER_INCH)


_STYLE = re.compile('style="([^"]*)"')


def svg_uri(figure: Figure) -> str:
    """A figure as SVG in a data URI: an image of its own, whose names cannot clash with others.

    It can stand between double quotes as it is. Coordinates are cut to a hundredth of a point, what
    needs no quoting is not quoted, letters are placed and named as shortly as SVG allows, and what
    looks alike has a class in common: a page of all figures is two fifths as large.
    """
    buffer = io.BytesIO()
    with plot_style(), matplotlib.rc_context({"svg.hashsalt": "metaug"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = re.sub(r"\s+", " ", buffer.getvalue().decode())
    svg = re.sub(r"(\d\d\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg)
    svg = re.sub(r'(<use [^>]*)transform="translate\(([\d.]+) 0\)"', r'\1x="\2"', svg)
    svg = re.sub('(#|id=")DejaVuSans', r"\1", svg)
    svg = svg.replace("xlink:href", "href").replace("> <", "><")
    looks = {look: f"l{i}" for i, look in enumerate(dict.fromkeys(_STYLE.findall(svg)))}
    svg = _STYLE.sub(lambda match: f'class="{looks[match[1]]}"', svg)
    rules = "".join(f".{name}{{{look}}}" for look, name in looks.items())
    svg = svg.replace("</style>", f"{rules}</style>", 1)
    svg = svg.replace("'", "&apos;").replace('"', "'")
    return "data:image/svg+xml," + quote(svg, safe=" /:=;,'()!*@?+$")
