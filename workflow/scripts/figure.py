"""Draw a figure from its records."""

from pathlib import Path

from metaug.reporting.figures import Drawing, write_drawing
from metaug.suite.plan import load_plan
from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    artefact, plan = snakemake.wildcards.artefact, load_plan(snakemake.config)
    plan.require_done(artefact)
    drawing = plan.render(artefact, plan.results(artefact))
    assert isinstance(drawing, Drawing)
    write_drawing(drawing, Path(snakemake.output.pdf).with_suffix(""))
