"""Tables and the scorecard in a terminal, read from the Markdown that was rendered.

Nothing is computed here: what stands on the screen is what stands in the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from metaug.reporting.html import DASH
from metaug.reporting.names import counted

SHORT_NOTE = 100
"""Notes of up to so many characters are shown: the legend of the marks. Longer ones are counted."""

SMALL_PRINT_NOTES = ("Small", "In brackets", "†")
"""What the notes about the small print begin with."""

VERDICT_COLUMNS = ("Claim", "Where", "What the paper says", "Verdict")
VERDICT_STYLES = {
    "reproduced": "green",
    "contradicted": "red",
    "ruled out": "magenta",
    "inconclusive": "yellow",
    "not run": "dim",
}
_STYLES = {"strong_open": "bold", "<sub>": "dim", "<ins>": "underline"}
_ENDS = {"strong_close", "</sub>", "</ins>"}
_GAP = 3  # between columns


@dataclass(frozen=True)
class Rendered:
    """A Markdown file with one table: the paragraphs before it, the table, those after it.

    `stubs` is the number of columns that head the rows; they are aligned to the left, and those
    behind them to the right.
    """

    before: tuple[Text, ...]
    header: tuple[Text, ...]
    stubs: int
    rows: tuple[tuple[Text, ...], ...]
    after: tuple[Text, ...]

    @property
    def rows_with_numbers(self) -> list[tuple[Text, ...]]:
        """The rows that are not dashes alone."""
        return [row for row in self.rows if any(cell.plain != DASH for cell in row[self.stubs :])]

    @property
    def widths(self) -> list[int]:
        """What each column takes in a terminal, with the space behind it."""
        lines = (self.header, *self.rows_with_numbers)
        return [max(cell.cell_len for cell in column) + _GAP for column in zip(*lines, strict=True)]


def read_markdown(path: Path, small: bool = True) -> Rendered:
    """Read a table or a scorecard as `metaug.reporting` writes them; without its small print if
    `small` is false."""
    before: list[Text] = []
    after: list[Text] = []
    rows: list[list[Text]] = []
    right: list[bool] = []
    texts = before
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        if token.type == "table_close":
            texts = after
        elif token.type == "tr_open":
            rows.append([])
            texts = rows[-1]
        elif token.type == "th_open":
            right.append("right" in str(token.attrGet("style")))
        elif token.type == "inline" and (text := _text(token.children or [], small)):
            texts.append(text)
    header, *body = (tuple(row) for row in rows)
    stubs = right.index(True) if True in right else len(right)
    return Rendered(tuple(before), header, stubs, tuple(body), tuple(after))


def _text(tokens: Iterable[Token], small: bool) -> Text:
    """A paragraph or a cell, with the marks of bold, small and underlined."""
    text, styles = Text(), [""]
    for token in tokens:
        mark = token.content if token.type == "html_inline" else token.type
        if mark in _STYLES:
            styles.append(f"{styles[-1]} {_STYLES[mark]}".strip())
        elif mark in _ENDS:
            styles.pop()
        elif mark in ("<br>", "softbreak"):
            text.append("\n" if mark == "<br>" else " ")
        elif token.type in ("text", "text_special", "code_inline") and (
            small or "dim" not in styles[-1]
        ):
            text.append(token.content, styles[-1])
    text.rstrip()
    return text


def table_in_terminal(path: Path, width: int) -> RenderableType:
    """A rendered table with its caption and the legend of its marks.

    Rows in which nothing was run and nothing is printed are left out. A table that is wider than
    the terminal is set without its small print, and if need be as several, one below the other.

    Args:
        path: its Markdown file.
        width: columns of the terminal.
    """
    page = read_markdown(path)
    fits = sum(page.widths) <= width + _GAP
    if not fits:
        page = read_markdown(path, small=False)
    rows = page.rows_with_numbers
    parts: list[RenderableType] = [*page.before]
    for columns in _blocks(page, width):
        table = _plain_table()
        for index in columns:
            is_stub = index < page.stubs
            table.add_column(
                page.header[index], justify="left" if is_stub else "right", no_wrap=not is_stub
            )
        for row in rows:
            table.add_row(*(row[index] for index in columns))
        parts += ["", table]
    notes = [note.plain for note in page.after]
    shown = [note for note in notes if len(note) <= SHORT_NOTE]
    longer = len(notes) - len(shown)
    if not fits:
        shown = [note for note in shown if not note.startswith(SMALL_PRINT_NOTES)]
        shown.append(f"The terminal is too narrow for the paper's numbers; {path} has them.")
    if left_out := len(page.rows) - len(rows):
        shown.append(f"Left out: {counted(left_out, 'row')} of which nothing was run.")
    if longer:
        shown.append(f"{counted(longer, 'longer note')} in {path}.")
    return Group(*parts, "", *(Text(note, "dim") for note in shown))


def _blocks(page: Rendered, width: int) -> Iterator[tuple[int, ...]]:
    """Columns of the tables that a wide one is divided into, each with the stub columns."""
    widths, stub = page.widths, tuple(range(page.stubs))
    room = width + _GAP - sum(widths[: page.stubs])  # no space behind the last one
    block: list[int] = []
    for index in range(page.stubs, len(widths)):
        if block and sum(widths[i] for i in (*block, index)) > room:
            yield (*stub, *block)
            block = []
        block.append(index)
    yield (*stub, *block)


def scorecard_in_terminal(path: Path) -> RenderableType:
    """Every claim of a rendered scorecard with its verdict, and how many came out how."""
    page = read_markdown(path)
    names = [head.plain for head in page.header]
    columns = [names.index(name) for name in VERDICT_COLUMNS]
    table = _plain_table()
    for name in VERDICT_COLUMNS:
        table.add_column(name, no_wrap=name in ("Claim", "Verdict"))
    for row in page.rows:
        cells = [next(iter(row[index].split("\n"))) for index in columns]
        for verdict, style in VERDICT_STYLES.items():
            if cells[-1].plain.endswith(verdict):
                cells[-1].stylize(style)
        table.add_row(*cells)
    return Group(*page.before, "", table)


def _plain_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
