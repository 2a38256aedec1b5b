import itertools
import os
import re
import subprocess
import sys
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from metaug.reporting.names import METHOD_NAMES
from metaug.reporting.style import (
    COLUMN_WIDTH,
    PALETTE,
    TEXT_WIDTH,
    method_style,
    plot_style,
    save_figure,
    svg_uri,
)

DATA = pd.DataFrame(
    {"batch": [32, 64, 128], "metaug": [70.5, 72.25, 73.0], "cmc": [68.0, 70.0, 1 / 3]}
)

# What dichromats see, on linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
COLOUR_VISION = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    "normal vision": np.eye(3),
}


def draw():
    with plot_style():
        figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2.2))
        for method in ("metaug", "cmc"):
            style = method_style(method)
            look = {"color": style.color, "marker": style.marker, "linestyle": style.linestyle}
            axes.errorbar(DATA["batch"], DATA[method], yerr=1.0, label=method, **look)
        axes.bar([200], [70], width=20, hatch=method_style("cmc_hard").hatch)
        axes.set(xlabel="batch size", ylabel="accuracy (%)")
        axes.legend()
    return figure


@pytest.fixture(name="figure")
def figure_fixture():
    figure = draw()
    yield figure
    plt.close(figure)


ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.of_a_notebook",  # of a package that is not here
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


def test_settings_of_the_caller_change_nothing(figure, tmp_path):
    save_figure(figure, tmp_path / "a", DATA)
    with plt.rc_context({"text.color": "red", "axes.facecolor": "k", "savefig.bbox": "tight"}):
        other = draw()
        save_figure(other, tmp_path / "b", DATA)
    plt.close(other)
    for ending in ("pdf", "png"):
        a, b = (tmp_path / f"{stem}.{ending}" for stem in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_the_environment_of_the_caller_stays_outside(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff this is not even text")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import metaug.reporting.style, matplotlib; print(matplotlib.get_backend())",
        ],
        env={**os.environ, **ENVIRONMENT, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("agg\n", "")


def test_widths_are_those_of_the_icml_style():
    assert (COLUMN_WIDTH, TEXT_WIDTH) == (3.25, 6.75)


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_colours_differ_for_every_colour_vision(vision):
    encoded = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(COLOUR_VISION[vision]), 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen)
    pairs = itertools.combinations(range(len(PALETTE)), 2)
    assert min(deltaE_ciede2000(lab[i], lab[j]) for i, j in pairs) > 8


def test_methods_differ_without_colour():
    styles = [method_style(method) for method in METHOD_NAMES]
    assert len({(style.marker, style.linestyle) for style in styles}) == len(METHOD_NAMES)


def test_bars_of_one_colour_differ_in_hatch():
    styles = [method_style(method) for method in METHOD_NAMES]
    assert len({(style.color, style.hatch) for style in styles}) == len(METHOD_NAMES)


def test_a_method_of_ones_own_has_a_stable_look():
    assert method_style("my_method") == method_style("my_method")
    assert method_style("my_method").color in PALETTE
    assert method_style("my_method").marker not in {method_style(m).marker for m in METHOD_NAMES}


def test_style_ends_with_its_block():
    before = dict(plt.rcParams)
    with plot_style():
        assert plt.rcParams["pdf.fonttype"] == 42
    assert dict(plt.rcParams) == before


def test_figure_is_saved_in_three_forms(figure, tmp_path):
    save_figure(figure, tmp_path / "figure4", DATA)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure4.csv",
        "figure4.pdf",
        "figure4.png",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figure4.csv"), DATA, check_exact=True)
    height, width, _ = plt.imread(tmp_path / "figure4.png").shape
    assert (width, height) == (650, 440)  # 3.25 × 2.2 inches at 200 dpi


def test_saving_a_figure_says_nothing(figure, tmp_path, caplog):
    save_figure(figure, tmp_path / "figure4", DATA)
    assert not caplog.records


def test_pdf_is_as_wide_as_the_column_and_embeds_its_fonts(figure, tmp_path):
    save_figure(figure, tmp_path / "figure4", DATA)
    pdf = (tmp_path / "figure4.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", pdf)
    assert [float(number) for number in box.groups()] == pytest.approx([3.25 * 72, 2.2 * 72])
    assert b"/Type3" not in pdf


def test_equal_figures_give_equal_bytes(figure, tmp_path):
    save_figure(figure, tmp_path / "a", DATA)
    again = draw()
    save_figure(again, tmp_path / "b", DATA)
    plt.close(again)
    for ending in (".pdf", ".png", ".csv"):
        a, b = ((tmp_path / name).with_suffix(ending).read_bytes() for name in "ab")
        assert a == b
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def placed(svg) -> list[tuple[list[float], list[float]]]:
    """Where each letter and marker is put, and the numbers of its shape."""
    shapes = {
        e.get("id"): [float(number) for number in re.findall(r"-?[\d.]+", e.get("d", ""))]
        for e in svg.iter()
        if e.tag.endswith("}path")
    }
    found = []
    for use in (e for e in svg.iter() if e.tag.endswith("}use")):
        moved = re.match(r"translate\(([\d.-]+) ([\d.-]+)\)", use.get("transform", ""))
        x, y = moved.groups() if moved else (use.get("x", 0), use.get("y", 0))
        address = use.get("href") or use.get("{http://www.w3.org/1999/xlink}href")
        found.append(([float(x), float(y)], shapes[address.removeprefix("#")]))
    return found


def looks(svg) -> list[str]:
    """The style of each element that has one, its own or that of its class."""
    (sheet,) = (e.text for e in svg.iter() if e.tag.endswith("}style"))
    classes = dict(re.findall(r"\.(\w+)\s*\{([^}]*)\}", sheet))
    own = [e.get("style") or classes.get(e.get("class")) for e in svg.iter()]
    return [re.sub(r"(\d\.\d\d)\d+", r"\1", look) for look in own if look]


def test_a_figure_in_a_page_is_the_saved_one_to_a_hundredth_of_a_point(figure, tmp_path):
    figure.suptitle('what\'s "new" & <old>')
    uri = svg_uri(figure)
    assert not {*'"<>&'} & {*uri}
    with plot_style(), plt.rc_context({"svg.hashsalt": "metaug"}):
        figure.savefig(tmp_path / "saved.svg")
    (tmp_path / "shown.svg").write_text(unquote(uri.removeprefix("data:image/svg+xml,")))
    shown, saved = (ElementTree.parse(tmp_path / f"{name}.svg") for name in ("shown", "saved"))
    assert len(placed(shown)) > 10
    for (ours, its_shape), (theirs, same_shape) in zip(placed(shown), placed(saved), strict=True):
        assert ours == pytest.approx(theirs, abs=0.01)
        assert its_shape == pytest.approx(same_shape, abs=0.01)
    assert looks(shown) == looks(saved)
