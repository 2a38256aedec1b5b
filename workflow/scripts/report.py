"""Write the report of all that has been run."""

from pathlib import Path

from metaug.job import job
from metaug.paper.claims import decide
from metaug.plan import load_plan
from metaug.reporting.aggregate import load_frame
from metaug.reporting.report import Training, write_report

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    claims = load_frame(Path(snakemake.input.frame))
    frames = {name: plan.frame(name) for name in plan.artefacts}
    write_report(
        Path(snakemake.output[0]),
        plan.scale.name,
        decide(claims),
        {name: plan.render(name, frames) for name in plan.rendered},
        {name: [spec.hash for spec in specs] for name, specs in plan.specs_of.items()},
        [
            Training(spec, plan.setting(spec), tuple(records))
            for spec in plan.specs.values()
            if (records := plan.read_records(spec))
        ],
        claims,
    )
    print(f"{plan.scale.name}: see {snakemake.output[0]}")
