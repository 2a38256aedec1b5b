"""MetAug reproduction suite. Targets: table1, all, ... ; see README.md.

snakemake --cores all table1
snakemake --cores all table1 --config scale=lite data_root=DIR
"""

from metaug.plan import load_plan


configfile: "config/config.yaml"


PLAN = load_plan(config)
SCALE = PLAN.scale.name
RESULTS = f"results/{SCALE}"


wildcard_constraints:
    spec="[0-9a-f]{12}",
    dataset="[a-z0-9_]+",
    size="[0-9]+",
    artefact="[a-z]+[0-9]*",


rule all:
    default_target: True
    input:
        expand(RESULTS + "/tables/{table}.md", table=PLAN.tables),


include: "workflow/rules/data.smk"
include: "workflow/rules/trials.smk"
include: "workflow/rules/artefacts.smk"
