"""MetAug reproduction suite. Targets: table1 ... table6, dots1, figure1 ... figure7, extra1 ...
extra7, tables, figures, scorecard, report, all; plan. See README.md.

snakemake --cores all table1
snakemake --cores all table1 --config scale=lite data_root=DIR
"""

from metaug.config import config_file
from metaug.suite.budget import open_schedule
from metaug.suite.cluster import waiting_for_earlier_jobs
from metaug.suite.gpus import wants_gpu
from metaug.suite.locale import use_utf8
from metaug.suite.plan import load_plan
from metaug.suite.screen import tell

use_utf8()


configfile: config_file()


PLAN = load_plan(config)
SCALE = PLAN.scale.name
RESULTS = f"results/{SCALE}"
FIGURES = f"figures/{SCALE}"
SCORECARD = [
    f"{RESULTS}/scorecard{ending}"
    for ending in (
        ".csv",
        "_comparisons.csv",
        ".md",
        "_forest.csv",
        "_forest.pdf",
        "_forest.png",
        ".html",
    )
]
REPORT = f"{RESULTS}/report.html"
GPU = int(wants_gpu(PLAN.config.device))
EARLIER_JOBS = waiting_for_earlier_jobs() if workflow.is_main_process else {}


# All but the trainings: they take seconds, or need a network that nodes may not have (downloads).
localrules:
    prepare,
    trials,
    table,
    figure,
    verdicts,
    page,
    plan,


if workflow.is_main_process:
    PLAN.refresh_marks()
    open_schedule(PLAN)
    tell(plan=PLAN, targets=lambda: workflow.dag_settings.targets)


wildcard_constraints:
    spec="[0-9a-f]{12}",
    dataset="[A-Za-z0-9_-]+",
    size="[0-9]+",
    artefact="[a-z]+[0-9]*",


rule all:
    default_target: True
    input:
        [PLAN.wanted(artefact) for artefact in PLAN.rendered],
        SCORECARD,
        REPORT,


# Targets have no output: while it is there, Snakemake would not miss a deleted mark.
rule scorecard:
    input:
        SCORECARD,
        PLAN.marks("claims"),
        PLAN.tidy_frame,


rule report:
    input:
        REPORT,
        PLAN.marks(),
        PLAN.tidy_frame,


rule tables:
    input:
        [PLAN.wanted(artefact) for artefact in PLAN.tables],


rule figures:
    input:
        [PLAN.wanted(artefact) for artefact in PLAN.figures],


for artefact in PLAN.rendered:

    rule:
        name:
            artefact
        input:
            PLAN.wanted(artefact),


onstart:
    PLAN.start()
    tell(
        trainings=[
            (job.rule.name, job.wildcards_dict["spec"])
            for job in workflow.dag.needrun_jobs()
            if job.rule.name.startswith("train_")
        ]
    )


onsuccess:
    PLAN.finish(job.wildcards_dict for job in workflow.dag.jobs)
    tell(finished=True)


onerror:
    PLAN.finish(job.wildcards_dict for job in workflow.dag.jobs)


include: "workflow/rules/data.smk"
include: "workflow/rules/trials.smk"
include: "workflow/rules/artefacts.smk"
include: "workflow/rules/report.smk"
