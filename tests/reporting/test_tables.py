import csv
import dataclasses
import itertools
import math
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from scipy import stats

from metaug.method import registered_methods
from metaug.paper.published import printed
from metaug.reporting.names import METHOD_NAMES, dataset_name, method_name
from metaug.reporting.results import interval_of
from metaug.reporting.statistics import Interval
from metaug.reporting.tables import (
    Cell,
    Column,
    Row,
    Table,
    html_table,
    method_row,
    write_csv,
    write_latex,
    write_markdown,
    write_table,
)

NAN = float("nan")
DATASETS = ("tiny_imagenet", "stl10", "cifar10", "cifar100")


def trials_of(mean: float, half_width: float) -> list[float]:
    """Values with this mean and this half-width of the 95 % t-interval (none: one value)."""
    if math.isnan(half_width):
        return [mean]
    # of three values −d, 0, +d around the mean the standard error is d / √3
    distance = half_width / stats.t.ppf(0.975, 2) * math.sqrt(3)
    return [mean - distance, mean, mean + distance]


def table_1(**changes) -> Table:
    """The paper's Table 1 with its numbers as ours, by the public pieces of an artefact."""
    paper = printed("table1")
    places = list(itertools.product(DATASETS, ("conv", "fc")))
    return Table(
        **{
            "title": "Table 1",
            "caption": "Top-1 accuracy (%) of linear classification.",
            "scale": "full",
            "rows": tuple(method_row(method) for method in dict.fromkeys(row for row, _ in paper)),
            "columns": tuple(Column(f"{d}_{p}", (dataset_name(d), p)) for d, p in places),
            "cells": {
                place: Cell(interval_of(pd.Series(trials_of(value.value, value.ci95))), *value)
                for place, value in paper.items()
            },
        }
        | changes
    )


def small(cells: dict, rows=("simclr", "cmc", "supervised", "random"), **changes) -> Table:
    """A table of the columns "a" and "b" under one header, with the cells given."""
    return Table(
        **{
            "title": "Table 0",
            "caption": "Some numbers.",
            "scale": "full",
            "rows": tuple(method_row(row) for row in rows),
            "columns": (Column("a", ("CIFAR-10", "conv")), Column("b", ("CIFAR-10", "fc"))),
            "cells": cells,
        }
        | changes
    )


def ours(mean: float, half_width: float = NAN, n: int = 3) -> Cell:
    return Cell(Interval(mean, half_width, n))


@pytest.fixture(scope="module", name="paper")
def paper_fixture() -> Table:
    return table_1()


@pytest.fixture(scope="module", name="files")
def files_fixture(paper, tmp_path_factory) -> Path:
    stem = tmp_path_factory.mktemp("tables") / "table1"
    write_table(paper, stem)
    return stem


def html_cells(html: str) -> dict[tuple[str, str], str]:
    """The visible text of every cell of the HTML form, read by a parser of its own."""
    cells = {}
    for td in ElementTree.fromstring(html).iter("td"):
        for small_print in td.iter("span"):
            if small_print.get("class") == "spoken":
                small_print.text = ""
        cells[td.attrib["data-row"], td.attrib["data-column"]] = " ".join(
            "".join(td.itertext()).split()
        )
    return cells


# Written down from the paper's Table 1, not from published.csv.
PAPER_CELLS = {
    ("supervised", "cifar10_fc"): "75.39 (n = 1) 75.39† (+0.00)",
    ("bigan", "tiny_imagenet_conv"): "24.38 (n = 1) 24.38† (+0.00)",
    ("splitbrain", "stl10_fc"): "63.05 (n = 1) 63.05† (+0.00)",
    ("swav", "stl10_conv"): "70.32 ± 0.40 (n = 3) 70.32 ± 0.4 (+0.00)",
    ("simclr", "tiny_imagenet_fc"): "39.83 ± 0.10 (n = 3) 39.83 ± 0.1 (+0.00)",
    ("cmc", "stl10_fc"): "85.06 (n = 1) 85.06† (+0.00)",
    ("cmc", "cifar100_fc"): "56.72 ± 0.30 (n = 3) 56.72 ± 0.3 (+0.00)",
    ("moco", "cifar10_conv"): "76.37 ± 0.30 (n = 3) 76.37 ± 0.3 (+0.00)",
    ("byol", "cifar100_conv"): "53.64 ± 0.20 (n = 3) 53.64 ± 0.2 (+0.00)",
    ("barlow_twins", "cifar10_fc"): "78.49 ± 0.20 (n = 3) 78.49 ± 0.2 (+0.00)",
    ("looc", "cifar10_fc"): "82.05 ± 0.20 (n = 3) 82.05 ± 0.2 (+0.00)",
    ("simclr_hard", "cifar10_fc"): "82.76 ± 0.10 (n = 3) 82.76 ± 0.1 (+0.00)",
    ("cmc_hard", "cifar100_conv"): "58.97 ± 0.30 (n = 3) 58.97 ± 0.3 (+0.00)",
    ("metaug_oucl", "stl10_fc"): "84.72 ± 0.30 (n = 3) 84.72 ± 0.3 (+0.00)",
    ("metaug", "cifar10_conv"): "87.87 ± 0.20 (n = 3) 87.87 ± 0.2 (+0.00)",
    ("metaug", "cifar100_fc"): "61.06 ± 0.20 (n = 3) 61.06 ± 0.2 (+0.00)",
}


@pytest.mark.parametrize("place", PAPER_CELLS)
def test_the_papers_numbers_give_the_papers_table(paper, place):
    assert html_cells(html_table(paper))[place] == PAPER_CELLS[place]


def test_the_papers_numbers_come_back_in_every_cell(paper):
    assert len(paper.cells) == 19 * 8
    for place, entry in paper.cells.items():
        assert entry.ours.mean == pytest.approx(entry.published, abs=1e-9), place
        assert entry.ours.half_width == pytest.approx(entry.published_ci95, abs=1e-9, nan_ok=True)


def test_metaug_is_best_everywhere_in_the_paper(paper):
    for column in paper.columns:
        assert paper.best(column) == paper.published_best(column) == {"metaug"}


FIELDS = ("mean", "ci95", "n", "values", "published", "published_ci95", "quoted", "difference")


def test_csv_has_eight_fields_a_column(files):
    with files.with_suffix(".csv").open() as file:
        records = list(csv.DictReader(file))
    assert [record["method"] for record in records][:2] == ["supervised", "bigan"]
    assert len(records) == 19
    places = [f"{dataset}_{probe}" for dataset in DATASETS for probe in ("conv", "fc")]
    expected = ["method"] + [f"{p}_{field}" for p in places for field in FIELDS]
    assert list(records[0]) == expected
    metaug = records[-1]
    assert float(metaug["cifar10_conv_mean"]) == pytest.approx(87.87)
    assert float(metaug["cifar10_conv_ci95"]) == pytest.approx(0.2)
    assert (metaug["cifar10_conv_n"], metaug["cifar10_conv_published"]) == ("3", "87.87")
    values = [float(value) for value in metaug["cifar10_conv_values"].split(";")]
    assert sum(values) / len(values) == pytest.approx(87.87)
    assert (metaug["cifar10_conv_published_ci95"], metaug["cifar10_conv_quoted"]) == (
        "0.2",
        "false",
    )
    assert float(metaug["cifar10_conv_difference"]) == pytest.approx(0, abs=1e-9)
    bigan = records[1]
    assert (bigan["cifar10_fc_published_ci95"], bigan["cifar10_fc_quoted"]) == ("", "true")


def test_csv_leaves_empty_what_there_is_not(tmp_path):
    write_csv(small({("cmc", "a"): ours(80.5, n=1)}, rows=["cmc"]), tmp_path / "t.csv")
    header, row = (tmp_path / "t.csv").read_text().splitlines()
    assert header == ",".join(["method", *(f"{c}_{field}" for c in "ab" for field in FIELDS)])
    assert row == "cmc,80.5,,1,,,,,,,,0,,,,,"


def test_csv_has_the_papers_interval_mark_and_distance(tmp_path):
    cells = {
        ("cmc", "a"): Cell(Interval(80.0, 1.0, 3), 81.25, 0.2),
        ("cmc", "b"): Cell(Interval(NAN, NAN, 0), 64.0, NAN, True),
    }
    write_csv(small(cells, rows=["cmc"]), tmp_path / "t.csv")
    row = (tmp_path / "t.csv").read_text().splitlines()[1]
    assert row == "cmc,80.0,1.0,3,,81.25,0.2,false,-1.25,,,0,,64.0,,true,"


def test_markdown_is_a_github_table(files):
    lines = files.with_suffix(".md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 19
    assert {line.count("|") for line in rows} == {1 + 1 + 8}
    assert rows[0].startswith("| Method | Tiny ImageNet conv | Tiny ImageNet fc |")
    assert re.fullmatch(r"\|( :-- \|)( --: \|){8}", rows[1])
    metaug = rows[-1].split(" | ")
    assert metaug[0] == "| MetAug ‡"
    assert metaug[5] == (
        "**87.87** ± 0.20 <sub>n = 3</sub> <sub><ins>87.87</ins> ± 0.2 (+0.00)</sub>"
    )


def test_latex_groups_columns_and_marks_the_best(files):
    text = files.with_suffix(".tex").read_text()
    assert r"\multicolumn{6}{c}{Tiny ImageNet}" in text
    assert r"\cmidrule(lr){2-7}" in text and r"\cmidrule(lr){20-25}" in text
    assert (
        r"\textbf{87.87} &{\scriptsize$\pm$0.20}{\tiny\,n=3} &{\scriptsize\underline{87.87}" in text
    )
    assert r"CMC $^\ddagger$ + Hard" in text
    assert text.count(r"\textbf{") == 8


def test_html_is_a_table_for_every_reader(paper):
    figure = ElementTree.fromstring(html_table(paper))
    table = figure.find(".//table")
    assert "".join(table.find("caption").itertext()).startswith("Table 1. Top-1 accuracy (%)")
    top, bottom = table.findall("./thead/tr")
    assert [th.get("colspan") for th in top.findall("th")] == [None, "2", "2", "2", "2"]
    assert [th.text for th in bottom.findall("th")] == ["conv", "fc"] * 4
    assert {th.get("scope") for th in top[1:]} == {"colgroup"}
    assert {th.get("scope") for th in bottom} == {"col"}
    body = table.findall("./tbody/tr")
    assert [row.find("th").get("scope") for row in body] == ["row"] * 19
    assert {len(row.findall("td")) for row in body} == {8}


def test_html_cells_can_be_sorted_by_a_script(paper):
    for td in ElementTree.fromstring(html_table(paper)).iter("td"):
        place = (td.get("data-row"), td.get("data-column"))
        assert float(td.get("data-value")) == paper.cells[place].ours.mean


def test_html_page_needs_nothing_from_outside(files):
    page = files.with_suffix(".html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|<script|<link|src=|@import|url\(", page)
    assert '<meta name="viewport"' in page


def test_each_form_says_what_scale_it_is(tmp_path):
    for scale, sentence in [
        (
            "smoke",
            "Scale: smoke. A check of the plumbing; these numbers are not the paper's result.",
        ),
        (
            "lite",
            "Scale: lite. Reduced data and training; these numbers are not the paper's result.",
        ),
        ("full", "Scale: full. The paper's protocol."),
        ("mine", "Scale: mine, a user's own; these numbers are not the paper's result."),
    ]:
        stem = tmp_path / scale
        write_table(small({("cmc", "a"): ours(80.0)}, scale=scale), stem)
        for ending in (".md", ".tex", ".html"):
            text = stem.with_suffix(ending).read_text().replace("&#39;", "'")
            assert sentence in text


def test_n_is_in_the_caption_when_it_is_everywhere_the_same(tmp_path):
    table = small({("cmc", "a"): ours(80.0, 1.0, n=3), ("simclr", "b"): ours(81.0, 1.0, n=3)})
    assert "Every cell run: n = 3 trials." in table.full_caption()
    write_markdown(table, tmp_path / "t.md")
    assert "<sub>n" not in (tmp_path / "t.md").read_text()
    alone = small({("cmc", "a"): ours(80.0, n=1)})
    assert "n = 1 trial." in alone.full_caption()


def test_n_is_in_each_cell_when_it_differs():
    table = small({("cmc", "a"): ours(80.0, 1.0, n=3), ("simclr", "b"): ours(81.0, 1.0, n=2)})
    assert "n is given in each cell" in table.full_caption()
    cells = html_cells(html_table(table))
    assert cells["cmc", "a"] == "80.00 ± 1.00 (n = 3)"
    assert cells["simclr", "b"] == "81.00 ± 1.00 (n = 2)"


def trials(*values: float) -> Cell:
    """The cell of a frame with these trials."""
    return Cell(interval_of(pd.Series(values, dtype=float), ["0" * 12]))


def test_one_or_two_trials_are_shown_themselves(tmp_path):
    cells = {
        ("simclr", "a"): trials(54.2, 55.1),
        ("cmc", "a"): trials(53.0),
        ("simclr", "b"): trials(50.0, 51.0, 52.0),
    }
    table = small(cells, digits=1)
    shown = html_cells(html_table(table))
    assert shown["simclr", "a"] == "54.2, 55.1 (n = 2)"
    assert shown["cmc", "a"] == "53.0 (n = 1)"
    assert shown["simclr", "b"] == "51.0 ± 2.5 (n = 3)"
    assert table.best(table.columns[0]) == {"simclr"}
    write_table(table, tmp_path / "t")
    assert "| **54.2, 55.1** <sub>n = 2</sub> |" in (tmp_path / "t.md").read_text()
    assert r"\textbf{54.2, 55.1} &{\tiny\,n=2}" in (tmp_path / "t.tex").read_text()
    record = pd.read_csv(tmp_path / "t.csv").set_index("method").loc["simclr"]
    assert (record["a_mean"], record["a_n"]) == (pytest.approx(54.65), 2)
    assert (record["a_values"], record["b_values"]) == ("54.2;55.1", "50.0;51.0;52.0")
    assert pd.isna(record["a_ci95"])


def test_failed_trials_are_marked_and_a_footnote_says_what_happened(tmp_path):
    partly, wholly = interval_of(pd.Series([80.0, 82.0, 90.0])), interval_of(pd.Series(dtype=float))
    partly.failed = ("trial 3: loss is nan at step 12 (epoch 0)",)
    wholly.failed = ("trial 0: loss is inf at step 1 (epoch 0)",)
    table = small({("cmc", "a"): Cell(partly), ("simclr", "a"): Cell(wholly)})
    write_table(table, tmp_path / "table")
    notes = [
        "§ SimCLR: trial 0: loss is inf at step 1 (epoch 0); not in the mean.",
        "§ CMC ‡: trial 3: loss is nan at step 12 (epoch 0); not in the mean.",
    ]
    assert [note for note in table.notes() if note.startswith("§")] == notes
    markdown = (tmp_path / "table.md").read_text()
    assert "| failed§ |" in markdown and "**84.00** ± 13.14§ |" in markdown
    assert all(note in markdown for note in notes)
    page = (tmp_path / "table.html").read_text()
    assert '<span class="ours">failed§</span>' in page and "<b>84.00</b> ± 13.14§" in page
    latex = (tmp_path / "table.tex").read_text()
    assert r"failed &{\scriptsize\S}" in latex and r"\S{} CMC" in latex


def test_cells_not_run_are_dashes_beside_the_published_value(tmp_path):
    missing = Cell(Interval(NAN, NAN, 0), 81.31, 0.2)
    table = small({("cmc", "a"): missing})
    assert "No cell has been run." in table.full_caption()
    cells = html_cells(html_table(table))
    assert cells["cmc", "a"] == "— 81.31 ± 0.2"
    assert cells["cmc", "b"] == "—"
    write_latex(table, tmp_path / "t.tex")
    assert "--- & &{\\scriptsize\\underline{81.31}" in (tmp_path / "t.tex").read_text()


def test_best_is_among_trained_self_supervised_rows():
    cells = {
        ("simclr", "a"): ours(80.0),
        ("cmc", "a"): ours(81.0),
        ("supervised", "a"): ours(99.0),
        ("random", "a"): ours(90.0),
    }
    table = small(cells)
    assert table.best(table.columns[0]) == {"cmc"}
    assert table.best(table.columns[1]) == set()


@pytest.mark.parametrize(("other_n", "best"), [(2, "cmc"), (3, "simclr"), (5, "simclr")])
def test_a_mean_of_two_trials_is_not_best_beside_means_of_more(other_n, best):
    cells = {
        ("simclr", "a"): Cell(Interval(80.0, 1.0, other_n)),
        ("cmc", "a"): Cell(Interval(81.0, NAN, 2)),
    }
    table = small(cells)
    assert table.best(table.columns[0]) == {best}
    turned = small({("cmc", c): cells[m, "a"] for m, c in (("simclr", "a"), ("cmc", "b"))})
    turned = dataclasses.replace(turned, compared="columns")
    bold = {column.name for column in turned.columns if turned.best(column)}
    assert bold == {"b" if best == "cmc" else "a"}


def test_ties_as_printed_are_all_best(tmp_path):
    cells = {("simclr", "a"): ours(80.001), ("cmc", "a"): ours(79.999), ("simclr", "b"): ours(1.0)}
    table = small(cells)
    assert table.best(table.columns[0]) == {"simclr", "cmc"}
    write_markdown(table, tmp_path / "t.md")
    assert (tmp_path / "t.md").read_text().count("**80.00**") == 2


def test_best_of_the_paper_is_found_apart_from_ours():
    cells = {
        ("simclr", "a"): Cell(Interval(82.0, 1.0, 3), 80.0),
        ("cmc", "a"): Cell(Interval(81.0, 1.0, 3), 81.0),
    }
    table = small(cells)
    assert table.best(table.columns[0]) == {"simclr"}
    assert table.published_best(table.columns[0]) == {"cmc"}


def test_differences_are_ours_minus_published():
    cells = {
        ("simclr", "a"): Cell(Interval(80.0, 1.0, 3), 81.25),
        ("cmc", "a"): Cell(Interval(81.249999, 1.0, 3), 81.25),
    }
    table = small(cells)
    assert html_cells(html_table(table))["simclr", "a"] == "80.00 ± 1.00 81.25 (−1.25)"
    assert html_cells(html_table(table))["cmc", "a"].endswith("(+0.00)")
    note = "In brackets: ours minus the number the paper prints."
    assert note in table.notes()
    assert note not in small({("cmc", "a"): Cell(Interval(NAN, NAN, 0), 81.0)}).notes()


def test_latex_stacks_interval_mark_and_difference_beside_the_published_number(tmp_path):
    cells = {
        ("simclr", "a"): Cell(Interval(80.0, 1.0, 3), 81.25, 0.2),
        ("cmc", "a"): Cell(Interval(81.0, 1.0, 3), 80.5, NAN, True),
        ("simclr", "b"): Cell(Interval(81.0, 1.0, 3), 80.5),
        ("cmc", "b"): Cell(Interval(NAN, NAN, 0), 80.0, 0.2, True),
    }
    write_latex(small(cells, rows=("simclr", "cmc")), tmp_path / "t.tex")
    text = (tmp_path / "t.tex").read_text()
    for published in (
        r"{\scriptsize\underline{81.25}$^{\pm0.2}_{(-1.25)}$}",
        r"{\scriptsize 80.50$^{\dagger}_{(+0.50)}$}",
        r"{\scriptsize\underline{80.50}$_{(+0.50)}$}",
        r"{\scriptsize 80.00$^{\pm0.2\dagger}$}",
    ):
        assert published in text


def test_legend_explains_the_marks_that_occur():
    plain = small({(row, c): ours(80.0, 1.0) for row in ("simclr",) for c in "ab"}, rows=["simclr"])
    assert not [note for note in plain.notes() if note[0] in "†‡—"]
    marked = small({("cmc", "a"): Cell(Interval(80.0, 1.0, 3), 81.0, NAN, True)}, rows=["cmc"])
    assert [note[0] for note in marked.notes() if note[0] in "†‡—"] == ["†", "‡", "—"]
    assert small({}, footnotes=("Mind the gap.",)).notes()[-1] == "Mind the gap."


def test_digits_follow_the_papers_table():
    table = small({("cmc", "a"): Cell(Interval(45.06, 0.21, 3), 45.1, 0.2)}, digits=1)
    assert html_cells(html_table(table))["cmc", "a"] == "45.1 ± 0.2 45.1 ± 0.2 (+0.0)"


def test_a_column_may_have_digits_of_its_own(tmp_path):
    columns = (Column("a", ("A",), digits=4), Column("b", ("B",)))
    cells = {
        ("simclr", "a"): ours(0.12341, 0.5),
        ("cmc", "a"): ours(0.12349, 0.5),
        ("simclr", "b"): ours(0.12341, 0.5),
        ("cmc", "b"): ours(0.12349, 0.5),
    }
    table = small(cells, columns=columns)
    shown = html_cells(html_table(table))
    assert (shown["simclr", "a"], shown["cmc", "a"]) == ("0.1234 ± 0.5000", "0.1235 ± 0.5000")
    assert shown["simclr", "b"] == "0.12 ± 0.50"
    assert table.best(columns[0]) == {"cmc"}
    assert {"simclr", "cmc"} <= table.best(columns[1])


def test_several_stub_columns_head_the_rows(tmp_path):
    rows = (Row("set 1", ("✓", "")), Row("set 2", ("", "✓")))
    table = Table(
        "Table 4", "Sets.", "full", rows, (Column("looc", ("LooC",)),), {}, stub=("flip", "crop")
    )
    figure = ElementTree.fromstring(html_table(table))
    assert [th.text for th in figure.findall(".//thead//th")] == ["flip", "crop", "LooC"]
    write_markdown(table, tmp_path / "t.md")
    assert "| flip | crop | LooC |" in (tmp_path / "t.md").read_text()
    write_latex(table, tmp_path / "t.tex")
    assert r"flip & crop & \multicolumn{3}{c}{LooC} \\" in (tmp_path / "t.tex").read_text()


def test_equal_headers_are_joined_only_under_one_parent():
    columns = (Column("a", ("A", "top-1")), Column("b", ("B", "top-1")))
    figure = ElementTree.fromstring(html_table(small({}, columns=columns)))
    assert [th.text for th in figure.findall(".//thead/tr[2]/th")] == ["top-1", "top-1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ("cmc", "cmc")}, "occurs twice"),
        ({"cells": {("byol", "a"): ours(1.0)}}, "no place"),
        ({"cells": {("cmc", "c"): ours(1.0)}}, "no place"),
        ({"stub": ("one", "two")}, "one label"),
        ({"columns": (Column("a", ("x",)), Column("b", ("x", "y")))}, "same depth"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small(**({"cells": {}} | change))


def test_names_are_the_papers():
    assert method_name("metaug_oucl") == "MetAug (only OUCL) ‡"
    assert method_name("simclr_debiased") == "SimCLR + Debiased"
    assert method_name("cmc_hard") == "CMC ‡ + Hard"
    assert method_name("my_method") == "my_method"
    assert len(set(METHOD_NAMES.values())) == len(METHOD_NAMES) == 29


def test_a_double_dagger_marks_the_methods_that_take_several_views():
    for name, kind in registered_methods().items():
        assert ("‡" in method_name(name)) == (len(kind.default_views) > 1), name


SPECIAL = r"100% of a_b & #1 ${x}$ \x ~ ^ <i> | * ± † ‡ — − × ≥ ≤ ∞ ✓ α β γ δ λ σ φ Γ Δ 'q'"


def test_special_characters_are_text_in_html_and_markdown(tmp_path):
    table = small({}, caption=SPECIAL, footnotes=(SPECIAL,))
    caption = ElementTree.fromstring(html_table(table)).find(".//caption")
    assert SPECIAL in "".join(caption.itertext())
    write_markdown(table, tmp_path / "t.md")
    assert r"a\_b" in (tmp_path / "t.md").read_text()
    assert r"\<i\> \| \*" in (tmp_path / "t.md").read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_to_one_page_each(paper, tmp_path):
    write_latex(paper, tmp_path / "full.tex")
    write_latex(small({}, caption=SPECIAL, footnotes=(SPECIAL,)), tmp_path / "special.tex")
    packages = (tmp_path / "full.tex").read_text().splitlines()[0].removeprefix("% needs ")
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{{article}}{packages}\begin{{document}}"
        r"\input{full}\clearpage\input{special}\end{document}"
    )
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert "(2 pages" in run.stdout
    assert not re.search("Overfull|too large|undefined|Missing character", run.stdout)


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: (_ for _ in ()).throw(KeyError))
    with pytest.raises(KeyError):
        write_table(small({}), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_equal_tables_give_equal_bytes(paper, files, tmp_path):
    write_table(paper, tmp_path / "again")
    for ending in (".csv", ".md", ".tex", ".html"):
        again = (tmp_path / "again").with_suffix(ending).read_bytes()
        assert again == files.with_suffix(ending).read_bytes()


def test_nan_is_never_shown(tmp_path):
    write_table(small({("cmc", "a"): ours(80.0, n=1)}), tmp_path / "t")
    for path in tmp_path.iterdir():
        assert not re.search(r"\bnan\b", path.read_text(), re.IGNORECASE)


def test_columns_can_compete_within_a_row():
    cells = {("simclr", "a"): ours(80.0), ("simclr", "b"): ours(81.0), ("cmc", "a"): ours(82.0)}
    table = small(cells, compared="columns")
    first, second = table.columns
    assert table.best(first) == {"cmc"}
    assert table.best(second) == {"simclr"}
    assert "Bold: the best of ours in the row." in table.notes()


def test_without_ranked_rows_nothing_is_bold_and_no_note_explains_bold():
    table = small({("random", "a"): ours(80.0)}, rows=("random",))
    assert table.best(table.columns[0]) == set()
    assert not any(note.startswith("Bold") for note in table.notes())


def test_a_table_of_nothing_says_so():
    assert small({}).full_caption().endswith("No cell has been run.")


def test_negative_means_have_a_minus_sign(tmp_path):
    table = small({("cmc", "a"): ours(-1.5), ("simclr", "a"): ours(-0.0001)})
    assert html_cells(html_table(table))["cmc", "a"].startswith("−1.50")
    assert html_cells(html_table(table))["simclr", "a"].startswith("0.00")
    write_latex(table, tmp_path / "t.tex")
    assert "$-$1.50" in (tmp_path / "t.tex").read_text()


def test_powers_of_ten_reach_latex(tmp_path):
    table = small({}, rows=(), stub=("δ",))
    table = Table(**{**vars(table), "rows": (Row("one", ("10⁻¹¹",)),)})
    write_latex(table, tmp_path / "t.tex")
    assert "10$^-$$^1$$^1$" in (tmp_path / "t.tex").read_text()


def test_that_means_of_different_n_are_not_paired_is_said_below_the_table():
    note = "Means of different n are not paired; the scorecard compares trial by trial."

    def notes(n: int) -> list[str]:
        cells = {"simclr": Interval(80.0, 1.0, 5), "cmc": Interval(81.0, 1.0, n)}
        return small({(row, "a"): Cell(interval) for row, interval in cells.items()}).notes()

    assert note in notes(10)
    assert note not in notes(5)


def test_the_mark_of_several_views_is_explained_where_it_stands_in_a_heading():
    columns = (Column("metaug", (method_name("metaug"),)), Column("looc", (method_name("looc"),)))
    table = small({}, rows=["simclr"], columns=columns)
    assert any(note.startswith("‡ one encoder of half width per view") for note in table.notes())
