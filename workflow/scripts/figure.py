"""Draw a figure from its frame."""

from pathlib import Path

from metaug.job import job
from metaug.plan import load_plan
from metaug.reporting.aggregate import load_frame
from metaug.reporting.figures import write_drawing

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    frames = {Path(path).stem: load_frame(Path(path)) for path in snakemake.input}
    drawing = load_plan(snakemake.config).render(snakemake.wildcards.artefact, frames)
    write_drawing(drawing, Path(snakemake.output.pdf).with_suffix(""))
