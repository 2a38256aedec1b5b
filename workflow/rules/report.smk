rule scorecard:
    input:
        f"{RESULTS}/frames/claims.csv",
    output:
        expand(
            f"{RESULTS}/scorecard{{end}}",
            end=[".csv", "_comparisons.csv", ".md", ".html"],
        ),
    log:
        f"logs/{SCALE}/scorecard.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/scorecard.py"


rule report:
    input:
        expand(f"{RESULTS}/frames/{{artefact}}.csv", artefact=PLAN.artefacts),
    output:
        f"{RESULTS}/report.html",
    log:
        f"logs/{SCALE}/report.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report.py"


rule plan:
    log:
        f"logs/{SCALE}/plan.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/plan.py"
