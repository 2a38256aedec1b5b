"""Train and evaluate the trials of one spec."""

from pathlib import Path

from metaug.suite.script import script

snakemake = globals()["snakemake"]

with script(snakemake.log[0]):
    # here, because they take seconds, in which a signal is to end the job in good order, too
    import torch

    from metaug.config import Config
    from metaug.data.arrays import require_origin
    from metaug.spec import TrialSpec
    from metaug.suite.gpus import training_devices
    from metaug.suite.helpers import helpers
    from metaug.suite.job import run_trials
    from metaug.suite.progress import progress
    from metaug.suite.slurm import requeued_at_time_limit
    from metaug.training.runtime import Runtime

    # not the plan: it imports all that tables and figures need, for each of hundreds of jobs
    config = Config.model_validate(snakemake.config)
    spec = TrialSpec.model_validate_json(snakemake.params.spec)
    data, output = Path(snakemake.params.data), Path(snakemake.output[0]).parent
    require_origin(data, snakemake.params.origin)
    trials, work = snakemake.params.trials, Path(snakemake.params.work)
    # not `snakemake.threads`, which `--cores` may lower: the number of threads changes the numbers
    torch.set_num_threads(config.threads_per_job)
    with (
        requeued_at_time_limit(lambda: progress(trials, output, work)),
        training_devices(config.device, config.jobs_per_gpu, config.processes_per_job) as devices,
    ):
        alone = Runtime(
            device=devices[0],
            mixed_precision=config.mixed_precision,
            checkpoint_seconds=config.checkpoint_seconds,
            tensorboard=Path("logs/tensorboard") / spec.hash if config.tensorboard else None,
        )
        with helpers(devices, spec, data, alone) as runtime:
            run_trials(
                spec,
                trials,
                data=data,
                output=output,
                work=work,
                runtime=runtime,
                keep_encoders=config.keep_encoders,
            )
