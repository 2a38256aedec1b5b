# One job trains all trials of a spec (or of a part of them: trials_per_job). Its output is a mark:
# Snakemake deletes the output of a job that fails or is repeated, and so never a record. `gpu`
# counts only with `--resources gpu=N`, and on clusters.
for part, trials in enumerate(PLAN.parts):

    rule:
        name:
            f"train_{part}"
        input:
            lambda wildcards: PLAN.training_data(wildcards.spec),
        output:
            PLAN.mark("{spec}", trials),
        log:
            f"logs/{SCALE}/train/{{spec}}_{part}.log",
        benchmark:
            f"logs/{SCALE}/train/{{spec}}_{part}.tsv"
        conda:
            "../../environment.yml"
        threads: PLAN.config.threads_per_job * PLAN.config.processes_per_job
        resources:
            **EARLIER_JOBS,
            gpu=GPU * PLAN.config.processes_per_job,
            mem_mb=lambda wildcards: PLAN.memory_mb(wildcards.spec),
        params:
            trials=list(trials),
            data=lambda wildcards: str(PLAN.data_folder(wildcards.spec)),
            origin=lambda wildcards: PLAN.origin_of(wildcards.spec),
            spec=lambda wildcards: PLAN.specs[wildcards.spec].canonical_json(),
            work=lambda wildcards: str(PLAN.work_folder(wildcards.spec)),
        script:
            "../scripts/train.py"
