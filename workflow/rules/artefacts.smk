rule frame:
    input:
        lambda wildcards: PLAN.records(wildcards.artefact),
    output:
        RESULTS + "/frames/{artefact}.csv",
    log:
        f"logs/{SCALE}/frame/{{artefact}}.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/frame.py"


rule table:
    input:
        RESULTS + "/frames/{artefact}.csv",
    output:
        expand(RESULTS + "/tables/{{artefact}}.{ext}", ext=["csv", "md", "tex", "html"]),
    log:
        f"logs/{SCALE}/table/{{artefact}}.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/table.py"


for table in PLAN.tables:

    rule:
        name:
            table
        input:
            expand(RESULTS + "/tables/{table}.{ext}", table=table, ext=["csv", "md", "tex", "html"]),
