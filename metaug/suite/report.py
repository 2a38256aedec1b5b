"""The report of a plan: what `metaug.reporting.report` writes, of all that has been run."""

from pathlib import Path

from metaug.reporting.report import Training, write_report
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan


def training_of(plan: Plan, spec: TrialSpec) -> Training:
    """A spec with what sets it apart and the records of its trials."""
    return Training(spec, plan.setting(spec), tuple(plan.read_records(spec)))


def write_report_of(plan: Plan, path: Path | str) -> None:
    """Write the report of all records of a plan, atomically.

    Args:
        plan: artefacts, claims and records.
        path: where to.

    Raises:
        UserError: a record's value is not valid, or the file cannot be written.
    """
    results = plan.results()
    write_report(
        path,
        plan.scale.name,
        plan.decide(results),
        {name: plan.render(name, results) for name in plan.rendered},
        {name: [spec.hash for spec in specs] for name, specs in plan.specs_of.items()},
        [training for spec in plan.specs.values() if (training := training_of(plan, spec)).records],
    )
