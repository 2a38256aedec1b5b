rule verdicts:
    input:
        PLAN.inputs("claims"),
    output:
        SCORECARD,
    log:
        f"logs/{SCALE}/scorecard.log",
    conda:
        "../../environment.yml"
    params:
        sources=PLAN.sources(*PLAN.artefacts),
    script:
        "../scripts/scorecard.py"


rule page:
    input:
        PLAN.inputs(),
    output:
        REPORT,
    log:
        f"logs/{SCALE}/report.log",
    conda:
        "../../environment.yml"
    params:
        sources=PLAN.sources(*PLAN.artefacts, *PLAN.rendered),
    script:
        "../scripts/report.py"


rule plan:
    log:
        f"logs/{SCALE}/plan.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plan.py"
