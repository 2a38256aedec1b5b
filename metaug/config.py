"""The typed configuration: what a user edits, and what a scale is."""

import os
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from metaug.data.datasets import DATASETS
from metaug.errors import UserError
from metaug.method import registered_methods
from metaug.spec import Frozen, ProbeSpec, Scalar, TrialSpec, brief, suggestion, validated

DATA_ROOT_VARIABLE = "METAUG_DATA_ROOT"
CONFIG = Path("config/config.yaml")
"""What a user edits, in the working directory or else in the checkout."""

SCALES = Path("config/scales")
"""The folder of the scales' files, in the working directory or else in the checkout."""

_CHECKOUT = Path(__file__).parents[1]
NOT_A_SETTING = {
    "scale": "choose it with scale",
    "dataset": "choose data sets with datasets",
    "method": "choose methods with methods",
    "hyper": "give its hyper-parameters themselves",
    "protocol_version": "it says which code made a number",
    "method_version": "it says which code made a number",
}
"""Fields of a spec that nobody sets, and why."""


class Config(Frozen):
    """What a user edits: `config/config.yaml`, and `--config key=value` on the command line."""

    scale: str = Field(
        "smoke",
        description="size of everything: smoke (minutes on a laptop), lite (hours on a laptop, "
        "real images), full (the paper's protocol, a GPU box or a cluster)",
    )
    data_root: str | None = Field(
        None,
        description="folder of the data sets, one sub-folder each (Parquet or class folders); "
        f"default: the environment variable {DATA_ROOT_VARIABLE}",
    )
    sources: tuple[Literal["parquet", "folder", "torchvision"], ...] = Field(
        ("parquet", "folder", "torchvision"),
        min_length=1,
        description="where a data set is looked for, in this order; torchvision downloads it",
    )
    trials: int | None = Field(
        None, ge=1, le=1000, description="trials of every training; default: the scale's"
    )
    hours: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="core-hours to spend on what decides most claims, in place of a fixed "
        "number of trials; the same command again spends as much again; 0 renders what there is",
    )
    datasets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="only these data sets; default: all of the scale; also one of your own, by the "
        "name of its folder in data_root (docs/your-data.md)",
    )
    methods: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="only these methods; the others' cells stay dashes; default: all",
    )
    overrides: dict[str, dict[str, Any]] = Field(
        {},
        description="changes of a method's spec or hyper-parameters, as "
        "{metaug: {delta: 0.001}}; only that method is trained again",
    )
    trials_per_job: int | None = Field(
        None, ge=1, description="split the trials of a spec over jobs of so many, for clusters"
    )
    threads_per_job: int = Field(
        1,
        ge=1,
        le=1024,
        description="CPU threads of one training; another number rounds sums in another order and "
        "so gives other numbers of equal right: keep it for a whole comparison",
    )
    processes_per_job: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that train one spec together, each with an equal part of every "
        "batch, on a GPU of its own or on threads_per_job threads; for methods that support it "
        "(docs/clusters.md); another number rounds sums in another order",
    )
    device: str = Field(
        "auto",
        description="auto (a GPU if the machine that Snakemake is started on has one, else the "
        "CPU), cpu, cuda (any GPU) or cuda:N; on a cluster, cuda asks for a GPU for each job",
    )
    jobs_per_gpu: int = Field(1, ge=1, le=64, description="trainings at a time on one GPU")
    mixed_precision: bool = Field(False, description="bfloat16 encoders, on CUDA only")
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="least time between two checkpoints of a training"
    )
    tensorboard: bool = Field(False, description="write TensorBoard events to logs/tensorboard")
    keep_encoders: bool = Field(False, description="keep the trained encoders, as safetensors")

    @model_validator(mode="after")
    def _one_number_of_trials(self) -> "Config":
        if self.hours is not None and self.trials is not None:
            raise ValueError("hours decides how many trials are trained: leave out trials")
        return self

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", value):
            raise ValueError("it must be auto, cpu, cuda or cuda:N")
        return value

    def resolved_data_root(self) -> Path | None:
        """The data folder of the config, else of the environment, else None.

        Raises:
            UserError: it begins with the name of a user that there is not.
        """
        root = self.data_root or os.environ.get(DATA_ROOT_VARIABLE)
        try:
            return Path(root).expanduser() if root else None
        except RuntimeError:
            raise UserError(f"data_root {root!r}: there is no such home folder") from None


class DatasetScale(Frozen):
    """A data set at a scale."""

    image_size: int = Field(ge=8, le=1024)
    train_images: int | None = Field(None, ge=2)
    epochs: int | None = Field(None, ge=0)
    """Epochs of training; None: the scale's."""


class BackboneScale(Frozen):
    """A backbone at a scale."""

    width: float = Field(1.0, gt=0, le=64)
    epochs: int | None = Field(None, ge=0)
    """Epochs of training; None: the data set's, or the scale's."""


class UserData(Frozen):
    """What a scale takes of a data set that it does not list: a user's own."""

    largest_side: int = Field(224, ge=8, le=1024)
    """Images are resized to the side nearest to their own (`metaug.data.user`), but to no more."""
    train_images: int | None = Field(None, ge=2)
    """The most training images; None: all."""


class Scale(Frozen):
    """A size of the whole suite, `config/scales/<name>.yaml`.

    Attributes:
        name: smoke, lite or full, or that of a file of your own; in every output path.
        trials: trials of every training.
        datasets: the data sets and their sizes; a table's columns are those of them it names.
        user_data: how much is taken of a user's own data set.
        backbones: the backbones and their widths.
        spec: fields of every `TrialSpec`.
        hyper: hyper-parameters of every method that has them (a smaller memory bank draw, ...).
        methods: changes of the spec for one method at this scale.
        probe: the evaluation protocol.
        grid: values that a table or figure runs over at this scale, where not the paper's own.
    """

    name: str
    trials: int = Field(ge=1, le=1000)
    datasets: dict[str, DatasetScale] = Field(min_length=1)
    user_data: UserData = UserData()
    backbones: dict[str, BackboneScale]
    spec: dict[str, Any]
    hyper: dict[str, Scalar] = Field({})
    methods: dict[str, dict[str, Any]] = Field({})
    probe: ProbeSpec = ProbeSpec()
    grid: dict[str, tuple[Scalar, ...]] = Field({})


def config_file() -> Path:
    """The config that is to be read: `snakemake --directory` works in a folder that need not have
    one. Where it cannot be read, that is one line on stderr and exit status 2."""
    is_here = CONFIG.exists() or CONFIG.is_symlink()
    path = CONFIG if is_here else _CHECKOUT / CONFIG
    try:
        if not is_here and not path.exists():
            raise UserError(f"no {CONFIG} here; run this in the folder of the Snakefile")
        read_config(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return path


def read_config(path: Path) -> dict[str, Any]:
    """The keys and values of a config.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: write keys and values, as scale: smoke")
    return values


def load_config(values: object, scales: Path | None = None) -> tuple[Config, Scale]:
    """The validated config and its scale.

    Args:
        values: what Snakemake read from `config/config.yaml` and the command line.
        scales: the folder of the scales' files; default: `SCALES` of the working directory, and of
            the checkout for scales that are not there.

    Raises:
        UserError: names the key, or the closest scale.
    """
    config = validated(Config, values, "config")
    config.resolved_data_root()
    folders = [_CHECKOUT / SCALES, SCALES] if scales is None else [scales]
    paths = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    if config.scale not in paths:
        raise UserError(
            f"config: unknown scale {config.scale!r}; {suggestion(config.scale, paths)}"
        )
    path = paths[config.scale]
    scale = validated(Scale, read_yaml(path), str(path))
    _check_scale(scale, path)
    return config, scale


def _check_scale(scale: Scale, path: Path) -> None:
    """Refuse a scale that would be taken for another, or whose keys nothing reads."""
    if scale.name != path.stem or not re.fullmatch("[a-z][a-z0-9_]*", scale.name):
        raise UserError(
            f"{path}: name = {brief(scale.name)}: it must be that of the file, of small letters, "
            "digits and _"
        )
    hyper = {key for kind in registered_methods().values() for key in kind.Hyper.model_fields}
    known: tuple[tuple[str, Iterable[str], Iterable[str]], ...] = (
        ("data set", scale.datasets, DATASETS),
        ("backbone", scale.backbones, get_args(TrialSpec.model_fields["backbone"].annotation)),
        ("hyper-parameter", scale.hyper, hyper),
        ("field of a spec", scale.spec, TrialSpec.model_fields.keys() - NOT_A_SETTING.keys()),
    )
    for what, names, allowed in known:
        for name in names:
            if name not in allowed:
                raise UserError(f"{path}: unknown {what} {name!r}; {suggestion(name, allowed)}")


def read_yaml(source: Path | str) -> Any:
    """The content of a YAML file, or of a text.

    Raises:
        UserError: it cannot be read or is no YAML; names the file and the line, or the text.
    """
    where = str(source) if isinstance(source, Path) else brief(source)
    if isinstance(source, Path) and not source.is_file():  # reading a FIFO would wait for ever
        raise UserError(f"cannot read {where}: no such file, or not a regular file")
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        return yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read {where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark and isinstance(source, Path) else ""
        raise UserError(f"{where}{line} is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where} is not YAML: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def default_config() -> str:
    """The text of `config/config.yaml`: every key with its default and its description."""
    lines = [
        "# Everything a user sets. Any key can be given on the command line instead:",
        "#   snakemake --cores all table1 --config scale=lite data_root=DIR",
        "# This file is generated by `metaug config`; edit values, not comments.",
    ]
    for name, field in Config.model_fields.items():
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        text = (
            f"{name}: "
            + yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
        )
        lines += ["", *_wrapped(field.description or ""), text]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int = 96) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, width)]
