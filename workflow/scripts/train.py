"""Train and evaluate the trials of one spec."""

from pathlib import Path

import torch

from metaug.job import job
from metaug.plan import load_plan
from metaug.training.loop import Runtime, choose_device
from metaug.trial import run_trials

snakemake = globals()["snakemake"]

with job(snakemake.log[0]):
    plan = load_plan(snakemake.config)
    config = plan.config
    key = snakemake.wildcards.spec
    torch.set_num_threads(snakemake.threads)
    runtime = Runtime(
        device=choose_device(config.device),
        mixed_precision=config.mixed_precision,
        checkpoint_seconds=config.checkpoint_seconds,
        tensorboard=Path("logs/tensorboard") / key if config.tensorboard else None,
    )
    run_trials(
        plan.specs[key],
        snakemake.params.trials,
        data=plan.data_folder(key),
        output=plan.folder(key),
        work=plan.work_folder(key),
        runtime=runtime,
        keep_encoders=config.keep_encoders,
    )
