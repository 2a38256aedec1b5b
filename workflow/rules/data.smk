# `origin` has a data set prepared again when it is to come from elsewhere or its files changed.
rule prepare:
    output:
        "data/{dataset}-{size}/manifest.json",
    log:
        "logs/prepare/{dataset}-{size}.log",
    conda:
        "../../environment.yml"
    params:
        origin=lambda wildcards: PLAN.origin(wildcards.dataset, int(wildcards.size)),
    script:
        "../scripts/prepare.py"
