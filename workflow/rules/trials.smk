# One job trains all trials of a spec (or of a part of them: trials_per_job). Its output is a mark:
# Snakemake deletes the output of a job that fails or is repeated, and so never a record.
for part, trials in enumerate(PLAN.parts):

    rule:
        name:
            f"train_{part}"
        input:
            lambda wildcards: PLAN.data_folder(wildcards.spec) / "manifest.json",
        output:
            PLAN.mark("{spec}", trials),
        log:
            f"logs/{SCALE}/train/{{spec}}_{part}.log",
        benchmark:
            f"logs/{SCALE}/train/{{spec}}_{part}.tsv"
        conda:
            "../../environment.yml"
        threads: PLAN.config.threads_per_job
        resources:
            gpu=1,
        params:
            trials=list(trials),
            origin=lambda wildcards: PLAN.origin_of(wildcards.spec),
            spec=lambda wildcards: PLAN.specs[wildcards.spec].canonical_json(),
            work=lambda wildcards: str(PLAN.work_folder(wildcards.spec)),
        script:
            "../scripts/train.py"
