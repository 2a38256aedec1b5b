"""Write the report of all that has been run."""

from pathlib import Path

from metaug.reporting.report import Training, write_report
from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    plan.require_done()
    results = plan.results()
    write_report(
        Path(snakemake.output[0]),
        plan.scale.name,
        plan.decide(results),
        {name: plan.render(name, results) for name in plan.rendered},
        {name: [spec.hash for spec in specs] for name, specs in plan.specs_of.items()},
        [
            Training(spec, plan.setting(spec), tuple(records))
            for spec in plan.specs.values()
            if (records := plan.read_records(spec))
        ],
    )
    print(f"{plan.scale.name}: see {snakemake.output[0]}")
