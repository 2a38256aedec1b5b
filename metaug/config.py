"""The typed configuration: what a user edits, and what a scale is."""

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from metaug.data.augment import canonical
from metaug.data.datasets import DATASETS, Dataset
from metaug.data.user import check_names, user_dataset
from metaug.data.views import VIEWS
from metaug.errors import UserError
from metaug.method import Method, check_size, find_method, registered_methods
from metaug.spec import Frozen, ProbeSpec, Scalar, TrialSpec, brief, suggestion, validated

DATA_ROOT_VARIABLE = "METAUG_DATA_ROOT"
COMPARISON = "metaug"
"""The preset of the paper's comparison: one protocol for all methods."""

CONFIG = Path("config/config.yaml")
"""What a user edits, in the working directory or else in the checkout."""

SCALES = Path("config/scales")
"""The folder of the scales' files, in the working directory or else in the checkout."""

_CHECKOUT = Path(__file__).parents[1]
_NOT_A_SETTING = {
    "scale": "choose it with scale",
    "dataset": "choose data sets with datasets",
    "method": "choose methods with methods",
    "hyper": "give its hyper-parameters themselves",
    "protocol_version": "it says which code made a number",
    "method_version": "it says which code made a number",
}
"""Fields of a spec that nobody sets, and why."""

Value = TypeVar("Value", bound=Scalar)
NO_USER_DATASETS: Mapping[str, Dataset] = MappingProxyType({})


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


class Grid:
    """Makes the `TrialSpec`s of a scale; what artefacts ask for the trials they need.

    Args:
        scale: of the suite.
        config: what the user has set.
        user_datasets: descriptions of the data sets in `config.datasets` that are the user's own.

    Raises:
        UserError: the config names a method or data set that there is not, or its overrides make a
            spec that cannot be trained.
    """

    def __init__(
        self, scale: Scale, config: Config, user_datasets: Mapping[str, Dataset] = NO_USER_DATASETS
    ) -> None:
        self.scale = scale
        self.config = config
        self.user_datasets = user_datasets
        self.known = {**DATASETS, **user_datasets}
        self.sizes = {
            **scale.datasets,
            **{name: _size(dataset, scale) for name, dataset in user_datasets.items()},
        }
        self.trials = config.trials or scale.trials
        for name in (*(config.methods or ()), *config.overrides, *scale.methods):
            find_method(name)
        for name in config.datasets or ():
            if name in DATASETS and name not in scale.datasets:
                raise UserError(
                    f"data set {name!r} is not part of scale {scale.name!r}; "
                    f"it has {', '.join(scale.datasets)}"
                )
            if name not in self.sizes:
                raise UserError(f"unknown data set {name!r}; {suggestion(name, scale.datasets)}")
        dataset = next(iter(config.datasets or scale.datasets))
        for name in config.overrides:
            spec = self.spec(name, dataset)
            self.check_batch(spec)
            check_size(spec, self.known[dataset].classes)

    def datasets(self, *names: str) -> tuple[str, ...]:
        """Those of `names` that the scale has and the user wants, else what stands in for them."""
        chosen = tuple(name for name in names if name in self._wanted)
        return chosen or self._stand_ins[:1]

    def all_datasets(self, *names: str) -> tuple[str, ...]:
        """As `datasets`, for an artefact with a column for each data set: those of the user's own
        stand beside the paper's."""
        chosen = tuple(name for name in names if name in self._wanted)
        return tuple(dict.fromkeys((*(chosen or self._stand_ins), *self.user_datasets)))

    @property
    def on_user_data_alone(self) -> bool:
        """Whether the user wants no other data sets than their own."""
        return not self._wanted

    @property
    def _wanted(self) -> tuple[str, ...]:
        """The data sets of the scale that the user wants."""
        wanted = self.config.datasets or tuple(self.scale.datasets)
        return tuple(name for name in wanted if name in self.scale.datasets)

    @property
    def _stand_ins(self) -> tuple[str, ...]:
        """What is shown in place of a data set of the paper: `digits_m` where the scale has nothing
        else, or the user's own where the user wants nothing else."""
        if self.on_user_data_alone:
            return tuple(self.user_datasets)
        return ("digits_m",) if set(self.scale.datasets) == {"digits_m"} else ()

    def wanted(self, methods: Iterable[str]) -> tuple[str, ...]:
        """Those of `methods` that exist and that the user wants, in the order given."""
        known, wanted = registered_methods(), self.config.methods
        return tuple(m for m in methods if m in known and (wanted is None or m in wanted))

    def values(self, key: str, default: tuple[Value, ...]) -> tuple[Value, ...]:
        """What an artefact runs over: the scale's `grid[key]`, else the paper's `default`; of the
        type of the default."""
        kind: Any = type(default[0])
        return tuple(kind(value) for value in self.scale.grid.get(key, default))

    def spec(
        self,
        method: str,
        dataset: str,
        backbone: str = "alexnet",
        preset: str = COMPARISON,
        **changes: Any,
    ) -> TrialSpec:
        """A complete, checked spec.

        Later wins: the scale, the method's defaults, the preset, the user's overrides, `changes`.
        The preset `metaug`, the comparison's common protocol, is what the scale says of the
        method's hyper-parameters; another one is a recipe of the method, which the scale does not
        reach into. The user's overrides may name the preset. Keys that are no field of `TrialSpec`
        are hyper-parameters of the method.

        Raises:
            UserError: an unknown key, an impossible value or a contradiction; names the method.
        """
        kind = find_method(method)
        size = self.sizes[dataset]
        net = self.scale.backbones.get(backbone, BackboneScale())
        overrides = dict(self.config.overrides.get(method, {}))
        preset = overrides.pop("preset", preset)
        comparison = {
            **{k: v for k, v in self.scale.hyper.items() if k in kind.Hyper.model_fields},
            **self.scale.methods.get(method, {}),
        }
        presets = {COMPARISON: comparison, **kind.presets}
        if not isinstance(preset, str) or preset not in presets:
            raise UserError(f"{method} has no preset {preset!r}; {suggestion(preset, presets)}")
        fields: dict[str, Any] = {
            "scale": self.scale.name,
            "dataset": dataset,
            # a method that cuts images into pieces needs so many pixels in every preset
            "image_size": self.scale.methods.get(method, {}).get("image_size", size.image_size),
            "train_images": size.train_images,
            "method": method,
            "method_version": kind.version,
            "backbone": backbone,
            "width": net.width,
            "probe": self.scale.probe,
            **self.scale.spec,
        }
        if (epochs := net.epochs if net.epochs is not None else size.epochs) is not None:
            fields["epochs"] = epochs
        hyper: dict[str, Any] = {}
        layers: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("defaults", kind.defaults),
            (f"preset {preset}", presets[preset]),
            ("overrides", overrides),
            ("trial", changes),
        )
        for where, layer in layers:
            for key, value in layer.items():
                if key in kind.Hyper.model_fields:
                    hyper[key] = value
                elif key in _NOT_A_SETTING:
                    raise UserError(f"{where}.{method}: {key} cannot be set: {_NOT_A_SETTING[key]}")
                elif key in TrialSpec.model_fields:
                    fields[key] = value
                else:
                    known = {"preset", *TrialSpec.model_fields, *kind.Hyper.model_fields}
                    raise UserError(
                        f"{where}.{method}: unknown hyper-parameter {brief(key)}; "
                        f"{suggestion(key, known - _NOT_A_SETTING.keys())}"
                    )
        resolved = validated(kind.Hyper, hyper, f"hyper-parameters of {method}")
        fields["hyper"] = resolved.model_dump(mode="json")
        fields.setdefault("views", kind.views_of(resolved))
        spec = validated(TrialSpec, fields, f"spec of {method}")
        # recipes that do the same are one spec, so that they are trained once
        augmentation = tuple(canonical(recipe) for recipe in spec.augmentation)
        spec = spec.model_copy(update={"augmentation": augmentation})
        _check_common(spec, kind)
        kind.check(spec, resolved)
        return spec

    def check_batch(self, spec: TrialSpec) -> None:
        """Refuse a spec whose batch has more images than there are. Not part of `spec`: the batch
        sizes of an artefact that nobody asked for are nobody's mistake.

        Raises:
            UserError: names the method and both numbers.
        """
        images = spec.train_images or self.known[spec.dataset].training_images
        if spec.batch_size > images:
            raise UserError(
                f"{spec.method}: a batch of {spec.batch_size} is more than the "
                f"{images} training images; lower batch_size"
            )


def _size(dataset: Dataset, scale: Scale) -> DatasetScale:
    """How a scale takes a user's data set."""
    limits = scale.user_data
    cut = limits.train_images is not None and dataset.training_images > limits.train_images
    return DatasetScale(
        image_size=min(dataset.image_size, limits.largest_side),
        train_images=limits.train_images if cut else None,
    )


def user_datasets(config: Config) -> dict[str, Dataset]:
    """The data sets that a config asks for and nobody but the user knows, described by their files.

    Raises:
        UserError: there is no such folder, it cannot be read, or its name cannot be used.
    """
    names = [name for name in config.datasets or () if name not in DATASETS]
    check_names(names)
    root = config.resolved_data_root()
    return {name: user_dataset(name, root, config.sources) for name in names}


def _check_common(spec: TrialSpec, kind: type[Method]) -> None:
    """Refuse what contradicts itself for every method."""
    for view in spec.views:
        if view not in VIEWS:
            raise UserError(f"{spec.method}: unknown view {view!r}; {suggestion(view, VIEWS)}")
        if spec.views.count(view) > 1:
            raise UserError(f"{spec.method}: view {view!r} is given twice")
    if kind.number_of_views == "one" and len(spec.views) > 1:
        raise UserError(
            f"{spec.method} trains one encoder: give it one view, as views: [rgb], "
            f"not {len(spec.views)} ({', '.join(spec.views)})"
        )
    if kind.number_of_views == "several" and len(spec.views) < 2:
        raise UserError(f"{spec.method} contrasts views: give it at least two, not {spec.views}")
    if spec.probe.averaged_epochs > spec.probe.epochs:
        raise UserError(
            f"{spec.method}: the probe has {spec.probe.epochs} epochs, the last "
            f"{spec.probe.averaged_epochs} of which are averaged; lower probe.averaged_epochs"
        )
    if len(spec.augmentation) not in (1, kind.crops):
        raise UserError(
            f"{spec.method}: {len(spec.augmentation)} augmentation recipes for {kind.crops} crops; "
            "give one for all or one for each"
        )


def config_file() -> Path:
    """The config that Snakemake is to read: `snakemake --directory` works in a folder that need not
    have one. Where it cannot be read, that is one line on stderr and exit status 2."""
    path = CONFIG if CONFIG.exists() else _CHECKOUT / CONFIG
    try:
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
        ("field of a spec", scale.spec, TrialSpec.model_fields.keys() - _NOT_A_SETTING.keys()),
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
        raise UserError(f"cannot read {where}: there is no such file, or it is no ordinary one")
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
        "# This file is generated by `python -m metaug config`; edit values, not comments.",
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
