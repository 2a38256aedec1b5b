"""What the paper prints in its tables, and what a reader finds in the files that we write.

Where a printed number belongs, and how its row and column are called, was written down here from
the paper's tables; numbers and quotation marks come from published.csv, read as text. Nothing here
asks an artefact or the reporting what belongs where.
"""

import csv
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from metaug.paper.published import PUBLISHED_CSV
from metaug.reporting.tables import Table, write_table

METHODS = {
    "supervised": "Fully supervised",
    "bigan": "BiGAN",
    "nat": "NAT",
    "dim": "DIM",
    "splitbrain": "SplitBrain ‡",
    "cpc_v2": "CPC v2",
    "swav": "SwAV",
    "simclr": "SimCLR",
    "cmc": "CMC ‡",
    "moco": "MoCo",
    "simsiam": "SimSiam",
    "infomin": "InfoMin Aug.",
    "byol": "BYOL",
    "barlow_twins": "Barlow Twins",
    "nnclr": "NNCLR",
    "dacl": "DACL",
    "looc": "LooC",
    "simclr_debiased": "SimCLR + Debiased",
    "simclr_hard": "SimCLR + Hard",
    "cmc_debiased": "CMC ‡ + Debiased",
    "cmc_hard": "CMC ‡ + Hard",
    "swav_hard": "SwAV + Hard",
    "cmc_randaugment": "CMC ‡ + RandAugment",
    "metaug_oucl": "MetAug (only OUCL) ‡",
    "metaug_mag": "MetAug (only MAG) ‡",
    "metaug": "MetAug ‡",
    "metaug_nnclr": "MetAug*",
    "metaug_randaugment": "MetAug ‡ + RandAugment",
}
DATASETS = {
    "tiny_imagenet": "Tiny ImageNet",
    "stl10": "STL-10",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "average": "Average",
}
METRICS = {"top1": "Top-1", "top5": "Top-5"}
NETWORKS = {"conv": "AlexNet conv", "resnet50": "ResNet-50"}
OPERATIONS = {
    "hflip": "Flip",
    "rotate": "Rotate",
    "crop": "Crop",
    "grey": "Grey",
    "jitter": "Jitter",
    "mixup": "Mixup",
}
FEATURES = {"with": "With augmented features", "without": "Without augmented features"}
POWERS = {f"1e-{k}": f"10⁻{raised}" for k, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸")}
VIEWS = {"l_ab": "{L, ab}", "y_dbdr": "{Y, DbDr}"}
SETS = {
    "set1": "hflip+rotate",
    "set2": "crop",
    "set3": "grey",
    "set4": "jitter",
    "set5": "hflip+crop",
    "set6": "rotate+jitter",
    "set7": "hflip+crop+mixup",
    "set8": "hflip+rotate+crop+grey+jitter+mixup",
}
STUBS = {"table4": ("Set", *OPERATIONS.values()), "table5": ("Method", "δ")}


class Place(NamedTuple):
    """A cell by its names in the CSV, and by what readers find beside and above it."""

    row: str
    column: str
    labels: tuple[str, ...]
    header: tuple[str, ...]


class Shown(NamedTuple):
    """What a reader finds in a cell; "" where there is nothing."""

    ours: str = "—"
    bold: bool = False
    published: str = ""
    underlined: bool = False
    ci95: str = ""
    quoted: str = ""
    difference: str = ""


def place_of(artefact: str, row: str, column: str) -> Place:
    """What a reader finds beside and above a printed number."""
    if artefact == "table1":
        dataset, _, probe = column.rpartition("_")
        return Place(row, column, (METHODS[row],), (DATASETS[dataset], probe))
    if artefact == "table2":
        return Place(row, column, (METHODS[row],), (DATASETS[column],))
    if artefact == "table3":
        network, metric = column.split("_")
        return Place(row, column, (METHODS[row],), (NETWORKS[network], METRICS[metric]))
    if artefact == "table4":
        operations = SETS[row].split("+")
        marks = ("✓" if operation in operations else "" for operation in OPERATIONS)
        return Place(row, column, (row.removeprefix("set"), *marks), (METHODS[column],))
    if artefact == "table5":
        method, _, delta = row.partition("_delta_")
        return Place(row, column, (METHODS[method], POWERS.get(delta, "")), (FEATURES[column],))
    views, metric = column.rsplit("_", 1)
    method = row.removesuffix("_quoted")
    name = METHODS[method] + ("" if method == row else " (quoted)")
    return Place(row, column, (name,), (VIEWS[views], METRICS[metric]))


def expected(artefact: str) -> dict[Place, Shown]:
    """The cells of a table where the printed numbers are ours as well.

    Quoted numbers of Table 6 are nobody's result. Averages of Table 2 are ours to compute.
    """
    with PUBLISHED_CSV.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["artefact"] == artefact]
    cells = {place_of(artefact, row["row"], row["column"]): row for row in rows}
    value = {(place.row, place.column): float(row["value"]) for place, row in cells.items()}
    competes = [place for place in cells if place.row not in ("supervised", "random")]
    group = "row" if artefact == "table4" else "column"

    def best(place: Place, among: list[Place]) -> bool:
        rivals = [p for p in among if getattr(p, group) == getattr(place, group)]
        return place in rivals and value[place[:2]] == max(value[p[:2]] for p in rivals)

    run = [place for place in competes if not place.row.endswith("_quoted")]
    wanted = {}
    for place, row in cells.items():
        ours = number = row["value"]
        if place.column == "average":
            mean = (value[place.row, "cifar10"] + value[place.row, "stl10"]) / 2
            ours = f"{mean:.2f}"
            change = f"{mean - float(number):+.2f}".replace("-0.00", "+0.00").replace("-", "−")
        else:
            change = "+0." + "0" * len(number.partition(".")[2])
        if place.row.endswith("_quoted"):
            ours, change = "—", ""
        quoted = "†" if row["quoted"] == "true" else ""
        wanted[place] = Shown(
            ours, best(place, run), number, best(place, competes), row["ci95"], quoted, change
        )
    return wanted


PAPER = r"(?P<published>[\d.]+)(?: ± (?P<ci95>[\d.]+))?(?P<quoted>†?)(?: \((?P<difference>.+)\))?"


def read_html(path: Path) -> tuple[tuple[str, ...], dict[Place, Shown]]:
    """Heads of the row labels, and every cell."""
    figure = re.search(r"<figure.*</figure>", path.read_text(), re.DOTALL)
    assert figure
    table = ElementTree.fromstring(figure[0]).find(".//table")
    assert table is not None
    stub, levels = [], []
    for line in table.findall("./thead/tr"):
        stub += [th.text or "" for th in line if th.get("rowspan")]
        spans = [(th.text or "", int(th.get("colspan", 1))) for th in line if not th.get("rowspan")]
        levels.append([label for label, span in spans for _ in range(span)])
    cells = {}
    for line in table.findall("./tbody/tr"):
        labels = tuple(th.text or "" for th in line.findall("th"))
        for td, header in zip(line.findall("td"), zip(*levels, strict=True), strict=True):
            place = Place(td.attrib["data-row"], td.attrib["data-column"], labels, header)
            cells[place] = _shown_in(td)
    return tuple(stub), cells


def _shown_in(td: ElementTree.Element) -> Shown:
    for spoken in td.iterfind(".//span[@class='spoken']"):
        spoken.text = ""
    ours, paper = td.find("span"), td.find("small")
    assert ours is not None
    shown = Shown("".join(ours.itertext()), bold=ours.find("b") is not None)
    if paper is None:
        return shown
    return _with_paper(shown, "".join(paper.itertext()), paper.find("u") is not None)


def _with_paper(shown: Shown, text: str, underlined: bool) -> Shown:
    found = re.fullmatch(PAPER, text)
    assert found, text
    parts = {key: part or "" for key, part in found.groupdict().items()}
    return shown._replace(**parts, underlined=underlined)


def read_markdown(path: Path) -> tuple[list[str], dict[tuple[str, ...], list[Shown]]]:
    """The head, and the cells of every row by its labels."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    head, alignment, *body = [
        [part.strip().replace("\\", "") for part in line[1:-1].split(" |")] for line in lines
    ]
    columns = sum(part == "--:" for part in alignment)
    return head, {tuple(row[:-columns]): [*map(_shown_as, row[-columns:])] for row in body}


def _shown_as(text: str) -> Shown:
    ours, _, paper = text.removesuffix("</sub>").partition(" <sub>")
    shown = Shown(ours.strip("*"), bold=ours.startswith("**"))
    if not paper:
        return shown
    return _with_paper(shown, re.sub("</?ins>", "", paper), "<ins>" in paper)


def read_latex(path: Path) -> Iterator[Shown]:
    """The cells, row by row; their places are not read."""
    cell = re.compile(
        r"  & (?P<bold>\\textbf\{)?(?P<ours>---|[\d.]+)\}? & &(?:\{\\scriptsize(?: |(?P<underlined>"
        r"\\underline\{))(?P<published>[\d.]+)\}?(?:\$(?:\^\{(?:\\pm(?P<ci95>[\d.]+))?"
        r"(?P<quoted>\\dagger)?\})?(?:_\{\((?P<difference>.+)\)\})?\$)?\})?"
    )
    for line in path.read_text().splitlines():
        if line.startswith("  & "):
            found = cell.fullmatch(line)
            assert found, line
            parts = {key: part or "" for key, part in found.groupdict().items()}
            marks = {key: bool(parts.pop(key)) for key in ("bold", "underlined")}
            parts["ours"] = parts["ours"].replace("---", "—")
            parts["quoted"] = parts["quoted"].replace("\\dagger", "†")
            parts["difference"] = parts["difference"].replace("-", "−")
            yield Shown(**parts, **marks)


def check_csv(path: Path, wanted: dict[Place, Shown]) -> None:
    """The CSV holds what is expected, to the precision in which it is printed."""
    with path.open(newline="") as file:
        records = {record.pop("method"): record for record in csv.DictReader(file)}
    columns = {
        name.removesuffix("_mean") for name in next(iter(records.values())) if "_mean" in name
    }
    by_name = {place[:2]: shown for place, shown in wanted.items()}
    assert set(by_name) <= set(product(records, columns))
    for row, column in product(records, columns):
        shown = by_name.get((row, column), Shown())
        fields = {
            "mean": shown.ours.replace("—", ""),
            "published": shown.published,
            "published_ci95": shown.ci95,
            "quoted": str(bool(shown.quoted)).lower() if shown.published else "",
            "difference": shown.difference.replace("−", "-"),
        }
        for field, text in fields.items():
            found = records[row][f"{column}_{field}"]
            if found == text:
                continue
            assert float(found) == pytest.approx(float(text), abs=0.0051), (row, column, field)


def check_paper_is_reproduced(table: Table, artefact: str, folder: Path) -> None:
    """The four files of a table, made from the paper's numbers as if they were ours, show the
    paper's table: each number with its decimals, interval, † and underline in its row and column,
    ours equal to it and bold where it is the best, and nothing anywhere else."""
    stem, wanted = folder / artefact, expected(artefact)
    write_table(table, stem)
    check_csv(stem.with_suffix(".csv"), wanted)

    stub, cells = read_html(stem.with_suffix(".html"))
    assert stub == STUBS.get(artefact, ("Method",))
    assert set(wanted) <= set(cells)
    for place, shown in cells.items():
        assert shown == wanted.get(place, Shown()), place

    head, rows = read_markdown(stem.with_suffix(".md"))
    in_rows: dict[tuple[str, ...], list[Place]] = {}
    for place in cells:
        in_rows.setdefault(place.labels, []).append(place)
    assert list(rows) == list(in_rows)
    for labels, row in in_rows.items():
        assert head == [*stub, *(" ".join(place.header) for place in row)]
        assert rows[labels] == [wanted.get(place, Shown()) for place in row], labels

    assert list(read_latex(stem.with_suffix(".tex"))) == [
        wanted.get(place, Shown()) for place in cells
    ]
