"""Draw a figure from its records."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.figures import Drawing, write_drawing

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    artefact, plan = snakemake.wildcards.artefact, load_plan(snakemake.config)
    plan.require_done(artefact)
    drawing = plan.render(artefact, plan.results(artefact))
    assert isinstance(drawing, Drawing)
    write_drawing(drawing, Path(snakemake.output.pdf).with_suffix(""))
