rule prepare:
    output:
        "data/{dataset}-{size}/manifest.json",
    log:
        "logs/prepare/{dataset}-{size}.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/prepare.py"
