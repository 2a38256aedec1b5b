"""One table of the paper, and its four forms: CSV, Markdown, LaTeX and HTML.

A cell is ours (mean ± half-width of the 95 % interval, or the trials themselves where there are
fewer than three) with the published value in small type beside it, and the difference in brackets.
The best of our ranked rows is bold, the best published one underlined. The CSV has the numbers in
full, without caption and footnotes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import jinja2
import pandas as pd

from metaug.files import atomic_path, atomic_write_text
from metaug.reporting.html import DASH, HTML, MARKDOWN
from metaug.reporting.names import NOT_RANKED, SCALE_NOTES, method_name
from metaug.reporting.results import NOT_RUN, failed_of, values_of
from metaug.reporting.statistics import FEWEST_TRIALS, NAN, Interval


@dataclass(frozen=True)
class Cell:
    """Ours, and what the paper prints; nan where there is nothing.

    `metaug.paper.cells.table_cells` makes those of a table.
    """

    ours: Interval
    published: float = NAN
    published_ci95: float = NAN
    quoted: bool = False  # the paper took its number from elsewhere

    @property
    def difference(self) -> float:
        """Ours minus published; nan where one is missing."""
        return self.ours.mean - self.published


EMPTY = Cell(NOT_RUN)


@dataclass(frozen=True)
class Row:
    """`name` is for machines (unique), `labels` one text per stub column, for readers.

    `ranked`: the row takes part in the choice of the best.
    """

    name: str
    labels: tuple[str, ...]
    ranked: bool = True


def method_row(method: str) -> Row:
    """The row of a method; trained self-supervised methods are ranked."""
    return Row(method, (method_name(method),), method not in NOT_RANKED)


@dataclass(frozen=True)
class Column:
    """`name` is for machines (unique, e.g. cifar10_conv); `header` for readers, outermost first.

    Equal neighbouring headers of a level are joined into one. `digits` is the number of decimals
    where it is not the table's.
    """

    name: str
    header: tuple[str, ...]
    digits: int | None = None


@dataclass(frozen=True)
class Table:
    """A table of results.

    `title` is e.g. "Table 1"; LaTeX does not get it, because it numbers its tables itself.
    `cells` is keyed by (row name, column name); what it leaves out was not run and is not printed
    in the paper. `stub` heads the columns of row labels.
    `digits` is the number of decimals, as in the paper's table. `compared` says what competes for
    bold: the rows in each column, or the columns in each row.

    Raises:
        ValueError: two rows or columns of one name, a cell outside the table, labels or headers
            of unequal depth.
    """

    title: str
    caption: str
    scale: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    footnotes: tuple[str, ...] = ()
    stub: tuple[str, ...] = ("Method",)
    digits: int = 2
    compared: Literal["rows", "columns"] = "rows"

    def __post_init__(self) -> None:
        row_names = [row.name for row in self.rows]
        column_names = [column.name for column in self.columns]
        for names in (row_names, column_names):
            if len(set(names)) < len(names):
                raise ValueError(f"a name occurs twice: {', '.join(names)}")
        for row_name, column_name in self.cells:
            if row_name not in row_names or column_name not in column_names:
                raise ValueError(f"no place in the table for the cell {row_name}, {column_name}")
        if any(len(row.labels) != len(self.stub) for row in self.rows):
            raise ValueError(f"each row needs one label for each of {self.stub}")
        if len({len(column.header) for column in self.columns}) > 1:
            raise ValueError("all columns need headers of the same depth")

    def cell(self, row: Row, column: Column) -> Cell:
        return self.cells.get((row.name, column.name), EMPTY)

    def best(self, column: Column) -> set[str]:
        """Names of the ranked rows that are bold in this column: our highest mean of what is
        compared, and all that are equal as printed. Means of fewer than `FEWEST_TRIALS` trials
        compete only where no other has as many."""
        return self._best(column, _competing_means)

    def published_best(self, column: Column) -> set[str]:
        """Names of the ranked rows that are underlined in this column: the highest printed."""
        return self._best(column, lambda cells: {n: cell.published for n, cell in cells.items()})

    def digits_of(self, column: Column) -> int:
        """The number of decimals in a column."""
        return self.digits if column.digits is None else column.digits

    def common_n(self) -> int | None:
        """The number of trials if it is the same in all cells that were run; 0 if none was."""
        counts = {cell.ours.n for cell in self.cells.values() if cell.ours.n}
        return None if len(counts) > 1 else max(counts, default=0)

    def full_caption(self) -> str:
        """The caption with the scale and the number of trials."""
        n = self.common_n()
        trials = {None: "The number of trials n is given in each cell.", 0: "No cell has been run."}
        each = f"Every cell run: n = {n} trial{'' if n == 1 else 's'}."
        notes = (self.caption, SCALE_NOTES[self.scale], trials.get(n, each))
        return " ".join(note for note in notes if note)

    def notes(self) -> list[str]:
        """The legend of the marks that occur, then the table's own footnotes."""
        cells = list(self.cells.values())
        labels = " ".join(
            text
            for texts in (*(row.labels for row in self.rows), *(c.header for c in self.columns))
            for text in texts
        )
        printed = any(not math.isnan(cell.published) for cell in cells)
        compared = any(not math.isnan(cell.difference) for cell in cells)
        not_run = any(
            math.isnan(cell.ours.mean) and not failed_of(cell.ours)
            for row in self.rows
            for column in self.columns
            for cell in (self.cell(row, column),)
        )
        failures = dict.fromkeys(
            f"§ {', '.join(row.labels)}: {text}; not in the mean."
            for row in self.rows
            for column in self.columns
            for text in failed_of(self.cell(row, column).ours)
        )
        compete = {"rows": "our self-supervised rows", "columns": "ours in the row"}[self.compared]
        run = self.common_n() != 0
        legend = {
            "Ours: mean ± half-width of the 95 % t-interval over trials; one or two trials as they "
            "are.": run,
            f"Bold: the best of {compete}.": run and bool(self._ranked()),
            "Small: the number the paper prints; its best is underlined.": printed,
            "In brackets: ours minus the number the paper prints.": compared,
            "† quoted by the paper from earlier work.": any(cell.quoted for cell in cells),
            "‡ one encoder of half width per view (the paper: halved parameters).": "‡" in labels,
            f"{DASH} not run.": not_run,
            "Means of different n are not paired; the scorecard compares trial by trial.": (
                self.common_n() is None
            ),
        }
        marks = [note for note, applies in legend.items() if applies]
        return [*marks, *failures, *self.footnotes]

    def _ranked(self) -> list[Row]:
        return [row for row in self.rows if row.ranked]

    def _best(
        self, column: Column, values: Callable[[Mapping[str, Cell]], Mapping[str, float]]
    ) -> set[str]:
        """The ranked rows that are highest in this column; `values` of the cells that compete."""
        digits = self.digits_of(column)
        if self.compared == "rows":
            return self._highest(
                values({r.name: self.cell(r, column) for r in self._ranked()}), digits
            )
        rows = {
            r.name: values({c.name: self.cell(r, c) for c in self.columns}) for r in self._ranked()
        }
        return {name for name, cells in rows.items() if column.name in self._highest(cells, digits)}

    def _highest(self, values: Mapping[str, float], digits: int) -> set[str]:
        as_printed = {
            name: round(value, digits) for name, value in values.items() if not math.isnan(value)
        }
        return {name for name, value in as_printed.items() if value == max(as_printed.values())}


def _competing_means(cells: Mapping[str, Cell]) -> dict[str, float]:
    """Our means, without those of a few trials where others have more."""
    least = min(FEWEST_TRIALS, max((cell.ours.n for cell in cells.values()), default=0))
    return {name: cell.ours.mean for name, cell in cells.items() if cell.ours.n >= least}


def write_table(table: Table, stem: Path | str) -> None:
    """Write `stem`.csv, .md, .tex and .html, each atomically."""
    write_csv(table, f"{stem}.csv")
    write_markdown(table, f"{stem}.md")
    write_latex(table, f"{stem}.tex")
    write_html(table, f"{stem}.html")


def write_csv(table: Table, path: Path | str) -> None:
    """One row per row of the table: `method` (its name), then for each column eight fields.

    They are <column>_mean, _ci95 (empty below three trials), _n and _values (by trial, joined by
    `;`) of ours, _published, _published_ci95 and _quoted (true or
    false, as in published.csv) of the paper's, and _difference (ours minus published); in full
    precision, empty where there is nothing.
    """
    records = []
    for row in table.rows:
        record: dict[str, object] = {"method": row.name}
        for column in table.columns:
            cell = table.cell(row, column)
            record[f"{column.name}_mean"] = cell.ours.mean
            record[f"{column.name}_ci95"] = cell.ours.half_width
            record[f"{column.name}_n"] = cell.ours.n
            record[f"{column.name}_values"] = ";".join(map(repr, values_of(cell.ours)))
            record[f"{column.name}_published"] = cell.published
            record[f"{column.name}_published_ci95"] = cell.published_ci95
            printed = not math.isnan(cell.published)
            record[f"{column.name}_quoted"] = str(cell.quoted).lower() if printed else ""
            record[f"{column.name}_difference"] = cell.difference
        records.append(record)
    with atomic_path(path) as temporary:
        pd.DataFrame(records).to_csv(temporary, index=False, lineterminator="\n")


def write_markdown(table: Table, path: Path | str) -> None:
    """GitHub's Markdown. It has one header row, so the levels of a column's header are joined."""
    atomic_write_text(path, MARKDOWN.get_template("table.md.jinja").render(_content(table)))


def write_latex(table: Table, path: Path | str) -> None:
    r"""A float to be \input in a document that loads the packages named in its first line.

    A table of more than four columns is turned by 90°; one too wide for the line is shrunk to it.
    """
    atomic_write_text(path, _LATEX.get_template("table.tex.jinja").render(_content(table)))


def write_html(table: Table, path: Path | str) -> None:
    """A page of its own, without scripts or anything from outside; readable on a phone."""
    page = HTML.get_template("page.html.jinja")
    atomic_write_text(path, page.render(title=table.title, table=html_table(table)))


def html_table(
    table: Table, addresses: Callable[[Sequence[str]], Sequence[str]] = lambda specs: ()
) -> str:
    """The <figure> with the <table> alone, for the page and for the report.

    Cells carry data-row and data-column (names) and data-value (our mean, "" if not run), so that
    a script can sort the table. `addresses` gives what a cell made from these specs links to.
    """
    return HTML.get_template("table.html.jinja").render(_content(table), addresses=addresses)


def _content(table: Table) -> dict[str, object]:
    """What the templates show: texts ready to print, and where the marks go."""
    best = {column.name: table.best(column) for column in table.columns}
    published_best = {column.name: table.published_best(column) for column in table.columns}
    n_in_cells = table.common_n() is None

    def number(value: float, digits: int, sign: str = "-") -> str:
        # + 0.0 turns −0.0 into 0.0
        text = f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", "−")
        return "" if math.isnan(value) else text

    def texts(row: Row, column: Column) -> dict[str, object]:
        cell, digits = table.cell(row, column), table.digits_of(column)
        ours = cell.ours
        few = 1 < ours.n < FEWEST_TRIALS and values_of(ours)
        shown = few or (() if math.isnan(ours.mean) else (ours.mean,))
        return {
            "column": column.name,
            "value": "" if math.isnan(ours.mean) else repr(ours.mean),
            "mean": ", ".join(number(value, digits) for value in shown)
            or ("failed" if failed_of(ours) else DASH),
            "failed": bool(failed_of(ours)),
            "ci": number(ours.half_width, digits),
            "n": str(ours.n) if n_in_cells and ours.n else "",
            "published": number(cell.published, digits),
            "published_ci": "" if math.isnan(cell.published_ci95) else f"{cell.published_ci95:.1f}",
            "quoted": cell.quoted,
            "specs": getattr(ours, "specs", ()),
            "difference": number(cell.difference, digits, "+"),
            "best": row.name in best[column.name],
            "published_best": row.name in published_best[column.name],
        }

    body = [(row, [texts(row, column) for column in table.columns]) for row in table.rows]
    return {
        "title": table.title,
        "caption": table.full_caption(),
        "notes": table.notes(),
        "stub": table.stub,
        "levels": _header_levels(table.columns),
        "columns": table.columns,
        "wide": len(table.columns) > 4,
        "body": body,
    }


def _header_levels(columns: Sequence[Column]) -> list[list[dict[str, object]]]:
    """For each level of the header its groups: label, first column and number of columns."""
    levels = []
    for level in range(len(columns[0].header) if columns else 0):
        groups: list[dict[str, object]] = []
        # neighbours are joined only inside what the level above has joined
        paths = [column.header[: level + 1] for column in columns]
        for path, positions in groupby(range(len(columns)), key=paths.__getitem__):
            members = list(positions)
            groups.append({"label": path[-1], "first": members[0], "span": len(members)})
        levels.append(groups)
    return levels


_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "%_&#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{raised: f"$^{plain}$" for raised, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)},
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "§": r"\S{}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "✓": r"$\checkmark$",
    "—": "---",
    "–": "--",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
    "φ": r"$\phi$",
    "Γ": r"$\Gamma$",
    "Δ": r"$\Delta$",
}


def _escape_latex(text: str) -> str:
    return text.translate({ord(character): escape for character, escape in _LATEX_ESCAPES.items()})


# LaTeX is full of braces and per cent signs, so its template has delimiters of its own.
_LATEX = jinja2.Environment(
    loader=HTML.loader,
    trim_blocks=True,
    lstrip_blocks=True,
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    comment_start_string="<#",
    comment_end_string="#>",
)
_LATEX.filters["latex"] = _escape_latex
