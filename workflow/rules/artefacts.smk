# Every target asks for it, whichever trials it needs; so it has no input, and what a run adds is
# gathered when the run ends (Snakefile).
rule trials:
    output:
        PLAN.tidy_frame,
    log:
        f"logs/{SCALE}/trials.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/trials.py"


rule table:
    input:
        lambda wildcards: PLAN.inputs(wildcards.artefact),
    output:
        csv=f"{RESULTS}/tables/{{artefact}}.csv",
        md=f"{RESULTS}/tables/{{artefact}}.md",
        tex=f"{RESULTS}/tables/{{artefact}}.tex",
        html=report(
            f"{RESULTS}/tables/{{artefact}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{artefact}", "scale": SCALE},
        ),
    log:
        f"logs/{SCALE}/table/{{artefact}}.log",
    conda:
        "../../environment.yml"
    params:
        sources=lambda wildcards: PLAN.sources(wildcards.artefact),
    script:
        "../scripts/table.py"


rule figure:
    input:
        lambda wildcards: PLAN.inputs(wildcards.artefact),
    output:
        pdf=f"{FIGURES}/{{artefact}}.pdf",
        png=report(
            f"{FIGURES}/{{artefact}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{artefact}", "scale": SCALE},
        ),
        csv=f"{FIGURES}/{{artefact}}.csv",
    log:
        f"logs/{SCALE}/figure/{{artefact}}.log",
    conda:
        "../../environment.yml"
    params:
        sources=lambda wildcards: PLAN.sources(wildcards.artefact),
    script:
        "../scripts/figure.py"
