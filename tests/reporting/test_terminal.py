"""What stands in the terminal is what stands in the rendered file."""

import io
import math

import pandas as pd
import pytest
from rich.console import Console

from metaug.reporting.results import NOT_RUN, interval_of
from metaug.reporting.scorecard import write_scorecard
from metaug.reporting.tables import Cell, Column, Row, Table, write_markdown
from metaug.reporting.terminal import read_markdown, scorecard_in_terminal, table_in_terminal
from tests.reporting.test_scorecard import OUTCOMES

NAMES = ("a", "b", "c")


def ours(*values: float):
    return interval_of(pd.Series(list(values)))


@pytest.fixture(name="path")
def path_fixture(tmp_path):
    """Two rows that were run, one of which is best, one that is only printed, and one of dashes."""
    cells = {
        ("x", "a"): Cell(ours(50.0, 51.0, 52.0), 49.25, 0.2),
        ("x", "b"): Cell(ours(60.0), math.nan),
        ("y", "a"): Cell(ours(40.0, 41.0, 42.0), 55.0),
        ("z", "a"): Cell(NOT_RUN, 45.0, quoted=True),
    }
    table = Table(
        title="Table 9",
        caption="Top-1 [per cent].",
        scale="lite",
        rows=(Row("x", ("X | x",)), Row("y", ("*Y*",)), Row("z", ("Z",)), Row("nothing", ("No",))),
        columns=tuple(Column(name, ("Data", name)) for name in NAMES),
        cells=cells,
        footnotes=("A footnote that is too long for the screen. " * 4,),
    )
    write_markdown(table, tmp_path / "table9.md")
    return tmp_path / "table9.md"


def lines_of(part, width: int = 200, styled: bool = False) -> list[str]:
    text = io.StringIO()
    colours = "standard" if styled else None
    Console(file=text, width=width, force_terminal=styled, color_system=colours).print(part)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_table_is_read_back_as_it_was_written(path):
    page = read_markdown(path)
    assert [head.plain for head in page.header] == ["Method", "Data a", "Data b", "Data c"]
    assert page.stubs == 1
    assert [cell.plain for cell in page.rows[0]] == [
        "X | x",
        "51.00 ± 2.48 n = 3 49.25 ± 0.2 (+1.75)",
        "60.00 n = 1",
        "—",
    ]
    assert page.rows[1][0].plain == "*Y*"
    assert page.before[0].plain.startswith("Table 9. Top-1 [per cent]. Scale: lite.")


def test_the_small_print_can_be_left_out(path):
    page = read_markdown(path, small=False)
    assert [cell.plain for cell in page.rows[0]] == ["X | x", "51.00 ± 2.48", "60.00", "—"]


def test_the_best_is_bold_and_the_small_print_dim(path):
    text = "\n".join(lines_of(table_in_terminal(path, 200), styled=True))
    assert "\x1b[1m51.00\x1b[0m" in text
    assert "\x1b[2;4m55.00\x1b[0m" in text  # the best that the paper prints


def test_a_table_shows_every_row_that_has_a_number(path):
    lines = lines_of(table_in_terminal(path, 200))
    assert [line.split("  ")[0] for line in lines if line.startswith(("X", "*Y", "Z", "No "))] == [
        "X | x",
        "*Y*",
        "Z",
    ]
    assert "Left out: 1 row of which nothing was run." in lines


def test_long_notes_are_counted_and_their_place_is_said(path):
    lines = lines_of(table_in_terminal(path, 200))
    assert not any("too long for the screen" in line for line in lines)
    assert f"1 longer note in {path}." in lines
    assert "In brackets: ours minus the number the paper prints." in lines


def test_a_narrow_terminal_gets_several_tables_and_no_small_print(path):
    lines = lines_of(table_in_terminal(path, 33), width=33)
    assert max(map(len, lines)) <= 33
    heads = [line.split() for line in lines if line.startswith("Method")]
    assert heads == [["Method", "Data", "a", "Data", "b"], ["Method", "Data", "c"]]
    assert not any("49.25" in line or line.startswith("In brackets") for line in lines)
    text = " ".join(lines_of(table_in_terminal(path, 33)))
    assert f"The terminal is too narrow for the paper's numbers; {path} has them." in text


def test_the_scorecard_has_every_claim_with_its_verdict(tmp_path):
    write_scorecard(OUTCOMES, "smoke", tmp_path / "scorecard")
    lines = lines_of(scorecard_in_terminal(tmp_path / "scorecard.md"))
    for outcome in OUTCOMES:
        (line,) = (line for line in lines if line.startswith(f"{outcome.claim.id} "))
        assert outcome.claim.sentence in line
        assert line.endswith(outcome.verdict)
    assert "A check of the plumbing, not evidence" in "".join(lines)
