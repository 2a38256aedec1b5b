"""What is behind a number: the spec, the trials and the commit of a cell, the cells of a claim."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from metaug.errors import UserError
from metaug.paper.claims import CLAIMS
from metaug.reporting.claims import Outcome
from metaug.reporting.html import interval, p_value, signed
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.report import commit_text
from metaug.reporting.results import Query, Results
from metaug.reporting.scorecard import tally
from metaug.reporting.statistics import Interval
from metaug.reporting.tables import Cell, Table
from metaug.spec import TrialSpec, suggestion
from metaug.suite.plan import Plan
from metaug.suite.report import training_of
from metaug.suite.summary import settings_of

SCORECARD = "scorecard"


def show(plan: Plan, address: str) -> str:
    """The text for an address.

    Args:
        plan: says where the records lie.
        address: a cell, `table1:metaug:cifar10_conv` (artefact, row and column as in its CSV); a
            point of a figure, `figure4:epochs:simclr:64` (the leading columns of its CSV); an
            artefact, `figure5`, for the list of its trainings; a claim, `C1` or `scorecard:C1`, or
            `scorecard` for all; or the 12 digits of a spec.

    Raises:
        UserError: there is no such thing (names the closest), or it has not been run.
    """
    kind, *where = _resolve(plan, address)
    texts: dict[str, Callable[..., str]] = {
        "training": _training,
        "trainings": _trainings,
        "claim": _claim,
        "scorecard": _scorecard,
        "point": _point,
        "cell": _cell,
    }
    return texts[kind](plan, *where)


def show_as_json(plan: Plan, address: str) -> dict[str, Any]:
    """The same for scripts; what has no number is null.

    Raises:
        UserError: as `show`.
    """
    kind, *where = _resolve(plan, address)
    contents: dict[str, Callable[..., dict[str, Any]]] = {
        "training": _training_as_json,
        "trainings": _trainings_as_json,
        "claim": _claim_as_json,
        "scorecard": _scorecard_as_json,
        "point": _point_as_json,
        "cell": _cell_as_json,
    }
    return {"address": address, "scale": plan.scale.name, **contents[kind](plan, *where)}


def _resolve(plan: Plan, address: str) -> tuple[Any, ...]:
    """What kind of thing an address names, and where it is."""
    artefact, *place = address.split(":")
    if address in plan.specs:
        return "training", plan.specs[address]
    if address in _CLAIMS:
        return "claim", address
    if artefact == SCORECARD:
        if not place:
            return ("scorecard",)
        name = ":".join(place)
        if name not in _CLAIMS:
            raise UserError(f"{SCORECARD} has no claim {name!r}; it has C1 to {_CLAIMS[-1]}")
        return "claim", name
    if artefact not in {*plan.specs_of, *plan.rendered}:
        known = [*plan.specs_of, *plan.rendered, SCORECARD, *_CLAIMS]
        raise UserError(f"unknown artefact or spec {artefact!r}; {suggestion(artefact, known)}")
    if not place:
        return "trainings", artefact
    if plan.rendered.get(artefact) is not Table:
        return "point", artefact, tuple(place)
    if len(place) != 2:
        raise UserError(f"{address!r} is no cell; write ARTEFACT:ROW:COLUMN as in the CSV")
    return "cell", artefact, *place


_CLAIMS = [claim.id for claim in CLAIMS]


def _scorecard(plan: Plan) -> str:
    """All claims in one line each."""
    outcomes = plan.decide(plan.results("claims"))
    rows = [[o.claim.id, o.verdict, o.claim.where, o.claim.sentence] for o in outcomes]
    return f"{SCORECARD}, scale {plan.scale.name}: {tally(outcomes)}\n{_aligned(rows)}"


def _scorecard_as_json(plan: Plan) -> dict[str, Any]:
    outcomes = plan.decide(plan.results("claims"))
    return {
        "claims": [
            {
                "claim": outcome.claim.id,
                "where": outcome.claim.where,
                "statement": outcome.claim.sentence,
                "verdict": outcome.verdict,
            }
            for outcome in outcomes
        ]
    }


def _claim(plan: Plan, name: str) -> str:
    """The comparisons of a claim, and the numbers that they compare."""
    results = plan.results("claims")
    outcome = _outcome(plan, results, name)
    cells = [[str(query), f"{len(results.values(query))} trials"] for query in outcome.queries]
    return "\n\n".join(
        [
            f"{name} ({outcome.claim.where}), scale {plan.scale.name}: {outcome.verdict}\n"
            f"{outcome.claim.sentence}\n"
            f"{'missing' if outcome.verdict == 'not run' else 'turns on'}: {outcome.deciding.text}",
            _comparisons(outcome),
            _aligned([["number", "has been run"], *cells]),
        ]
    )


def _claim_as_json(plan: Plan, name: str) -> dict[str, Any]:
    outcome = _outcome(plan, plan.results("claims"), name)
    return {
        "claim": name,
        "where": outcome.claim.where,
        "statement": outcome.claim.sentence,
        "verdict": outcome.verdict,
        "comparisons": [
            {
                "comparison": finding.text,
                "verdict": finding.verdict,
                "difference": _number(finding.comparison.effect),
                "interval": [_number(finding.comparison.low), _number(finding.comparison.high)],
                "published": _number(finding.statement.published),
                "p": _number(finding.p),
                "n": finding.comparison.n,
            }
            for finding in outcome.findings
        ],
    }


def _outcome(plan: Plan, results: Results, name: str) -> Outcome:
    (outcome,) = (outcome for outcome in plan.decide(results) if outcome.claim.id == name)
    return outcome


def _comparisons(outcome: Outcome) -> str:
    rows = [["comparison", "verdict", "difference", "interval", "printed", "p", "n"]]
    for f in outcome.findings:
        c, printed = f.comparison, signed(f.statement.published)
        numbers = [signed(c.effect), interval(c.low, c.high), printed, p_value(f.p), str(c.n)]
        rows.append([f.text, f.verdict, *numbers])
    return _aligned(rows)


def _point(plan: Plan, artefact: str, place: tuple[str, ...]) -> str:
    """A place of a figure, `figure4:epochs:simclr:64`."""
    query = _query(plan, artefact, place)
    mean, half_width, n = plan.results(artefact).interval(query)
    spread = "" if math.isnan(half_width) else f" ± {half_width:.4f}"
    ours = f"{mean:.4f}{spread} (n = {n})" if n else "has not been run"
    head = f"{artefact}:{':'.join(place)}, scale {plan.scale.name}\nours       {ours}"
    return f"{head}\n\n{_training(plan, query.spec)}"


def _point_as_json(plan: Plan, artefact: str, place: tuple[str, ...]) -> dict[str, Any]:
    query = _query(plan, artefact, place)
    ours = _interval_as_json(plan.results(artefact).interval(query))
    return {"ours": ours, "trainings": [_training_as_json(plan, query.spec)]}


def _query(plan: Plan, artefact: str, place: tuple[str, ...]) -> Query:
    cells = {tuple(map(str, key)): query for key, query in plan.cells.get(artefact, {}).items()}
    if artefact not in plan.artefacts:
        raise UserError(f"{artefact} has no numbers: it is drawn from the code")
    if not cells:
        raise UserError(f"{artefact} has no numbers of these methods and data sets")
    if place not in cells:
        known = [":".join(key) for key in cells]
        raise UserError(
            f"{artefact} has no place {':'.join(place)!r}; {suggestion(':'.join(place), known)}"
        )
    return cells[place]


def _cell(plan: Plan, artefact: str, row_name: str, column_name: str) -> str:
    cell = _found_cell(plan, artefact, row_name, column_name)
    mean, half_width, n = cell.ours
    lines = [f"{artefact}:{row_name}:{column_name}, scale {plan.scale.name}"]
    if n:
        spread = "" if math.isnan(half_width) else f" ± {half_width:.4f}"
        lines.append(f"ours       {mean:.4f}{spread} (n = {n})")
    elif _is_quoted(row_name):
        lines.append("ours       none: the paper quotes this number from elsewhere")
    elif mean == 0:
        lines.append(f"ours       {mean:.4f}: the reference that the column's differences are from")
    else:
        lines.append(f"ours       none: {mean:g} is quoted, as the notes of {artefact} say")
    if not math.isnan(cell.published):
        lines.append(f"printed    {cell.published:g}")
    return "\n\n".join(["\n".join(lines), *(_training(plan, spec) for spec in _specs(plan, cell))])


def _cell_as_json(plan: Plan, artefact: str, row_name: str, column_name: str) -> dict[str, Any]:
    cell = _found_cell(plan, artefact, row_name, column_name)
    return {
        "ours": _interval_as_json(cell.ours),
        "published": _number(cell.published),
        "trainings": [_training_as_json(plan, spec) for spec in _specs(plan, cell)],
    }


def _found_cell(plan: Plan, artefact: str, row_name: str, column_name: str) -> Cell:
    table = plan.render(artefact, plan.results(artefact))
    assert isinstance(table, Table)
    rows = {row.name: row for row in table.rows}
    columns = {column.name: column for column in table.columns}
    if row_name not in rows:
        raise UserError(f"{artefact} has no row {row_name!r}; {suggestion(row_name, rows)}")
    if column_name not in columns:
        raise UserError(
            f"{artefact} has no column {column_name!r}; {suggestion(column_name, columns)}"
        )
    cell = table.cell(rows[row_name], columns[column_name])
    if math.isnan(cell.ours.mean) and not _is_quoted(row_name):
        raise UserError(
            f"{artefact}:{row_name}:{column_name} has not been run; "
            f"snakemake --cores all {artefact}{settings_of(plan.config)} runs what is missing. "
            f"{plan.of_other_images()}".rstrip()
        )
    return cell


def _is_quoted(row_name: str) -> bool:
    """Whether the paper has a row from elsewhere, so that there is none of ours."""
    return row_name.endswith("_quoted")


def _specs(plan: Plan, cell: Cell) -> list[TrialSpec]:
    return [plan.specs[key] for key in getattr(cell.ours, "specs", ())]


def _interval_as_json(interval: Interval) -> dict[str, Any]:
    mean, half_width, n = interval
    return {"mean": _number(mean), "ci95": _number(half_width), "n": n}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _trainings(plan: Plan, artefact: str) -> str:
    """One line for each training of an artefact."""
    if artefact not in plan.specs_of:
        return f"{artefact} is drawn from the code: no training is behind it"
    lines = [f"{artefact}, scale {plan.scale.name}: spec, trials done, training"]
    for spec in plan.specs_of[artefact]:
        done = len(plan.read_records(spec))
        lines.append(f"{spec.hash}  {done}/{plan.grid.trials}  {_name(plan, spec)}")
    return "\n".join(lines)


def _trainings_as_json(plan: Plan, artefact: str) -> dict[str, Any]:
    specs = plan.specs_of.get(artefact, ())
    return {
        "files": [str(path) for path in plan.files(artefact) if path.exists()]
        if artefact in plan.rendered
        else [],
        "trainings": [
            {
                "spec": spec.hash,
                "name": _name(plan, spec),
                "trials": plan.grid.trials,
                "done": len(plan.read_records(spec)),
            }
            for spec in specs
        ],
    }


def _name(plan: Plan, spec: TrialSpec) -> str:
    parts = (method_name(spec.method), dataset_name(spec.dataset), spec.backbone)
    return ", ".join((*parts, plan.setting(spec) or "defaults"))


def _training(plan: Plan, spec: TrialSpec) -> str:
    """The spec, then one line for each trial."""
    training = training_of(plan, spec)
    metrics = training.metrics
    heads = [" ".join(part for part in key if part) for key in metrics]
    rows = [["trial", "seed", *heads, "seconds", "device", "commit", "started"]]
    for record in training.records:
        source = record["provenance"]
        values = (training.value(record, key) for key in metrics)
        rows.append(
            [
                str(record["trial"]),
                str(record["seed"]),
                *("" if value is None else f"{value:.4f}" for value in values),
                f"{record['train_seconds']:.1f}",
                source["device"],
                commit_text(source["commit"], source["dirty"]),
                record["started"],
            ]
        )
    table = _aligned(rows) if training.records else "no trials yet"
    return (
        f"spec {spec.hash}: {_name(plan, spec)}\n{training.json}\n\n{table}\n"
        f"records: {plan.folder(spec)}"
    )


def _training_as_json(plan: Plan, spec: TrialSpec) -> dict[str, Any]:
    training = training_of(plan, spec)
    return {
        "spec": spec.hash,
        "name": _name(plan, spec),
        "settings": spec.model_dump(mode="json"),
        "records": str(plan.folder(spec)),
        "trials": [
            {
                "trial": record["trial"],
                "seed": record["seed"],
                "started": record["started"],
                "seconds": record["train_seconds"],
                **{key: record["provenance"][key] for key in ("device", "commit", "dirty")},
                "numbers": {
                    " ".join(part for part in key if part): training.value(record, key)
                    for key in training.metrics
                },
            }
            for record in training.records
        ],
    }


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as lines whose columns are of one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
