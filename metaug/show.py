"""What is behind a number: the spec, the trials and the commit of a cell of a table."""

from metaug.errors import UserError
from metaug.plan import Plan
from metaug.reporting.names import dataset_name, method_name
from metaug.reporting.report import Training, commit_text
from metaug.reporting.tables import Table
from metaug.spec import TrialSpec, suggestion


def show(plan: Plan, address: str) -> str:
    """The text for an address.

    Args:
        plan: says where the records lie.
        address: a cell, `table1:metaug:cifar10_conv` (artefact, row and column as in its CSV); an
            artefact, `figure5`, for the list of its trainings; or the 12 digits of a spec.

    Raises:
        UserError: there is no such thing (names the closest), or it has not been run.
    """
    artefact, *place = address.split(":")
    if address in plan.specs:
        return _training(plan, plan.specs[address])
    if artefact not in plan.specs_of:
        raise UserError(
            f"unknown artefact or spec {artefact!r}; {suggestion(artefact, _known(plan))}"
        )
    if not place:
        return _trainings(plan, artefact)
    if plan.rendered.get(artefact) is not Table:
        raise UserError(f"{artefact} is no table: ask for its trainings with {artefact!r} alone")
    if len(place) != 2:
        raise UserError(f"{address!r} is no cell; write ARTEFACT:ROW:COLUMN as in the CSV")
    return _cell(plan, artefact, *place)


def _known(plan: Plan) -> list[str]:
    return [*plan.specs_of, *plan.specs]


def _cell(plan: Plan, artefact: str, row_name: str, column_name: str) -> str:
    table = plan.render(artefact, {artefact: plan.frame(artefact)})
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
    if not cell.ours.n:
        raise UserError(
            f"{artefact}:{row_name}:{column_name} has not been run; "
            f"snakemake --cores all {artefact} runs what is missing"
        )
    mean, half_width, n = cell.ours
    lines = [f"{artefact}:{row_name}:{column_name}, scale {plan.scale.name}"]
    lines.append(f"ours       {mean:.4f} ± {half_width:.4f} (n = {n})")
    if cell.published == cell.published:
        lines.append(f"published  {cell.published:g}")
    specs = getattr(cell.ours, "specs", ())
    return "\n\n".join(["\n".join(lines), *(_training(plan, plan.specs[key]) for key in specs)])


def _trainings(plan: Plan, artefact: str) -> str:
    """One line for each training of an artefact."""
    lines = [f"{artefact}, scale {plan.scale.name}: spec, trials done, training"]
    for spec in plan.specs_of[artefact]:
        done = len(plan.read_records(spec))
        lines.append(f"{spec.hash}  {done}/{plan.grid.trials}  {_name(plan, spec)}")
    return "\n".join(lines)


def _name(plan: Plan, spec: TrialSpec) -> str:
    parts = (method_name(spec.method), dataset_name(spec.dataset), spec.backbone)
    return ", ".join((*parts, plan.setting(spec) or "defaults"))


def _training(plan: Plan, spec: TrialSpec) -> str:
    """The spec, then one line for each trial."""
    training = Training(spec, plan.setting(spec), tuple(plan.read_records(spec)))
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    table = "\n".join(lines) if training.records else "no trials yet"
    return (
        f"spec {spec.hash}: {_name(plan, spec)}\n{training.json}\n\n{table}\n"
        f"records: {plan.folder(spec)}"
    )
