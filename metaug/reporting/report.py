"""The report: one self-contained HTML page, from the verdicts down to every trial."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaug.files import atomic_write_text
from metaug.reporting.claims import Outcome
from metaug.reporting.figures import Drawing
from metaug.reporting.html import HTML
from metaug.reporting.names import SCALE_NOTES, dataset_name, method_name
from metaug.reporting.results import Query
from metaug.reporting.scorecard import html_scorecard
from metaug.reporting.style import shown_width, svg_uri
from metaug.reporting.tables import Table, html_table
from metaug.spec import TrialSpec

CURVE_POINTS = 60
"""A learning curve is drawn from at most so many of its epochs."""

CURVE_WIDTH, CURVE_HEIGHT = 120, 28  # pixels

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """A spec, what sets it apart (`setting` of the tidy frame) and the records of its trials."""

    spec: TrialSpec
    setting: str
    records: tuple[Record, ...]

    @property
    def anchor(self) -> str:
        return f"training-{self.spec.hash}"

    @property
    def name(self) -> str:
        parts = (
            method_name(self.spec.method),
            dataset_name(self.spec.dataset),
            self.spec.backbone,
            self.setting.replace(";", ", "),
        )
        return ", ".join(part for part in parts if part)

    @property
    def metrics(self) -> list[tuple[str, str, str]]:
        """(probe, setting, metric) of the accuracies that are shown."""
        found = {
            (row["probe"], row["setting"], row["metric"])
            for record in self.records
            for row in record["rows"]
            if row["probe"] and row["metric"] in ("top1", "top5", "knn_top1")
        }
        order = ("top1", "top5", "knn_top1")
        return sorted(found, key=lambda key: (key[1], key[0], order.index(key[2])))

    def value(self, record: Record, metric: tuple[str, str, str]) -> float | None:
        for row in record["rows"]:
            if (row["probe"], row["setting"], row["metric"]) == metric:
                return float(row["value"])
        return None

    def curve(self, record: Record) -> str:
        """The mean loss of each epoch as a polyline, all trials on one scale; "" without any."""
        losses = [[epoch["loss"] for epoch in r["curve"]] for r in self.records]
        return _polyline([epoch["loss"] for epoch in record["curve"]], losses)

    @property
    def json(self) -> str:
        """The spec, escaped for the text of an element, where quotation marks stay as they are."""
        text = json.dumps(self.spec.model_dump(mode="json"), indent=1, ensure_ascii=False)
        return html.escape(text, quote=False)


def write_report(
    path: Path | str,
    scale: str,
    outcomes: Sequence[Outcome],
    artefacts: Mapping[str, Table | Drawing],
    specs_of: Mapping[str, Sequence[str]],
    trainings: Sequence[Training],
) -> None:
    """Write the page, atomically.

    Args:
        path: where to.
        scale: its name.
        outcomes: the decided claims.
        artefacts: tables and figures by name.
        specs_of: the hashes of the specs that an artefact is made from. Where none of them has
            records, the page says so in place of the artefact.
        trainings: every spec that has records.
    """
    anchors = {training.spec.hash: training.anchor for training in trainings}

    def addresses(hashes: Iterable[str]) -> list[str]:
        return [f"#{anchors[h]}" for h in hashes if h in anchors]

    def link(query: Query) -> str:
        return next(iter(addresses([query.spec.hash])), "")

    by_hash = {training.spec.hash: training for training in trainings}

    def section(name: str, artefact: Table | Drawing) -> dict[str, object]:
        needed = specs_of.get(name, ())
        if needed and not addresses(needed):  # an empty plot or table would say nothing
            return {"name": name, "title": _title(name), "missing": len(needed)}
        if isinstance(artefact, Table):
            return {"name": name, "title": _title(name), "table": html_table(artefact, addresses)}
        return {
            "name": name,
            "title": _title(name),
            "svg": svg_uri(artefact.figure),
            "width": shown_width(artefact.figure),
            "caption": artefact.caption,
            "data": artefact.data.to_csv(index=False, lineterminator="\n"),
            "trainings": [by_hash[h] for h in needed if h in by_hash],
        }

    page = HTML.get_template("report.html.jinja").render(
        scale=scale,
        scale_note=SCALE_NOTES[scale],
        facts=_facts(trainings),
        scorecard=html_scorecard(outcomes, scale, link),
        sections=[section(name, artefacts[name]) for name in sorted(artefacts, key=_place)],
        width=CURVE_WIDTH,
        height=CURVE_HEIGHT,
        commit_text=commit_text,
        groups=_by_dataset(trainings),
    )
    atomic_write_text(path, page)


def _by_dataset(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """The trainings under the names of their data sets, by backbone, method and setting."""
    groups: dict[str, list[Training]] = {}
    for training in sorted(
        trainings,
        key=lambda t: (t.spec.dataset, t.spec.backbone, t.spec.method, t.setting),
    ):
        groups.setdefault(dataset_name(training.spec.dataset), []).append(training)
    return groups


def _place(name: str) -> tuple[int, str]:
    """Tables, then tables as dots, then figures, then extras."""
    kinds = ("table", "dots", "figure")
    return next((i for i, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name


def _title(name: str) -> str:
    """Figure 2 for figure2, Table 1 as dots for dots1."""
    word = name.rstrip("0123456789")
    number = name.removeprefix(word)
    return f"Table {number} as dots" if word == "dots" else f"{word.capitalize()} {number}".strip()


def _facts(trainings: Sequence[Training]) -> dict[str, object]:
    """What is known of all trials together."""
    records = [record for training in trainings for record in training.records]
    sources = [record["provenance"] for record in records]
    commits = {(source["commit"], source["dirty"]) for source in sources}
    return {
        "trainings": len(trainings),
        "trials": len(records),
        "seconds": sum(r["train_seconds"] + r["probe_seconds"] for r in records),
        "commits": sorted(commit_text(*commit) for commit in commits),
        "devices": sorted({source["device"] for source in sources}),
        "packages": sorted(
            {f"{name} {version}" for s in sources for name, version in s["packages"].items()}
        ),
    }


def commit_text(commit: str | None, dirty: bool | None) -> str:
    """A commit in twelve digits, and whether the files differed from it."""
    if commit is None:
        return "no commit known"
    return commit[:12] + (" + local changes" if dirty else "")


def _polyline(values: Sequence[float], together: Sequence[Sequence[float]]) -> str:
    """Points of an SVG polyline in a box of CURVE_WIDTH × CURVE_HEIGHT, scaled to all curves."""
    every = [value for curve in together for value in curve]
    if not values:
        return ""
    low, high = min(every), max(every)
    stride = max(1, -(-len(values) // CURVE_POINTS))
    kept = [i for i in range(len(values)) if i % stride == 0 or i == len(values) - 1]
    across = (CURVE_WIDTH - 4) / max(1, len(values) - 1)
    up = (CURVE_HEIGHT - 4) / ((high - low) or 1)
    return " ".join(f"{2 + i * across:.1f},{2 + (high - values[i]) * up:.1f}" for i in kept)
