"""The typed configuration: what a user edits, and what a scale is."""

import os
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field

from metaug.data.augment import canonical
from metaug.data.datasets import DATASETS
from metaug.data.views import VIEWS
from metaug.errors import UserError
from metaug.method import find_method, registered_methods
from metaug.spec import Frozen, ProbeSpec, Scalar, TrialSpec, suggestion, validated

DATA_ROOT_VARIABLE = "METAUG_DATA_ROOT"
COMPARISON = "metaug"
"""The preset of the paper's comparison: one protocol for all methods."""

Value = TypeVar("Value", bound=Scalar)


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
        description="where a data set is looked for, in this order; torchvision downloads it",
    )
    trials: int | None = Field(
        None, ge=1, description="trials of every training; default: the scale's"
    )
    datasets: tuple[str, ...] | None = Field(
        None, description="only these data sets; default: all of the scale"
    )
    methods: tuple[str, ...] | None = Field(
        None, description="only these methods; the others' cells stay dashes; default: all"
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
        description="CPU threads of one training; another number rounds sums in another order and "
        "so gives other numbers of equal right: keep it for a whole comparison",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    mixed_precision: bool = Field(False, description="bfloat16 encoders, on CUDA only")
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="least time between two checkpoints of a training"
    )
    tensorboard: bool = Field(False, description="write TensorBoard events to logs/tensorboard")
    keep_encoders: bool = Field(False, description="keep the trained encoders, as safetensors")

    def resolved_data_root(self) -> Path | None:
        """The data folder of the config, else of the environment, else None."""
        root = self.data_root or os.environ.get(DATA_ROOT_VARIABLE)
        return Path(root).expanduser() if root else None


class DatasetScale(Frozen):
    """A data set at a scale."""

    image_size: int = Field(ge=8)
    train_images: int | None = Field(None, ge=2)
    epochs: int | None = Field(None, ge=0)
    """Epochs of training; None: the scale's."""


class BackboneScale(Frozen):
    """A backbone at a scale."""

    width: float = Field(1.0, gt=0)
    epochs: int | None = Field(None, ge=0)
    """Epochs of training; None: the data set's, or the scale's."""


class Scale(Frozen):
    """A size of the whole suite, `config/scales/<name>.yaml`.

    Attributes:
        name: smoke, lite or full.
        trials: trials of every training.
        datasets: the data sets and their sizes; a table's columns are those of them it names.
        backbones: the backbones and their widths.
        spec: fields of every `TrialSpec`.
        hyper: hyper-parameters of every method that has them (a smaller memory bank draw, ...).
        methods: changes of the spec for one method at this scale.
        probe: the evaluation protocol.
        grid: values that a table or figure runs over at this scale, where not the paper's own.
    """

    name: str
    trials: int = Field(ge=1)
    datasets: dict[str, DatasetScale]
    backbones: dict[str, BackboneScale]
    spec: dict[str, Any]
    hyper: dict[str, Scalar] = Field({})
    methods: dict[str, dict[str, Any]] = Field({})
    probe: ProbeSpec = ProbeSpec()
    grid: dict[str, tuple[Scalar, ...]] = Field({})


class Grid:
    """Makes the `TrialSpec`s of a scale; what artefacts ask for the trials they need."""

    def __init__(self, scale: Scale, config: Config) -> None:
        self.scale = scale
        self.config = config
        self.trials = config.trials or scale.trials
        for name in (*(config.methods or ()), *config.overrides, *scale.methods):
            find_method(name)
        for name in config.datasets or ():
            if name not in DATASETS:
                raise UserError(f"unknown data set {name!r}; {suggestion(name, DATASETS)}")
            if name not in scale.datasets:
                raise UserError(
                    f"data set {name!r} is not part of scale {scale.name!r}; "
                    f"it has {', '.join(scale.datasets)}"
                )

    def datasets(self, *names: str) -> tuple[str, ...]:
        """Those of `names` that the scale has and the user wants; the stand-in `digits_m` joins
        where the scale has nothing else."""
        wanted = self.config.datasets or tuple(self.scale.datasets)
        chosen = tuple(name for name in names if name in wanted and name in self.scale.datasets)
        if not chosen and set(self.scale.datasets) == {"digits_m"}:
            return ("digits_m",)
        return chosen

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
        size = self.scale.datasets[dataset]
        net = self.scale.backbones.get(backbone, BackboneScale())
        overrides = dict(self.config.overrides.get(method, {}))
        preset = overrides.pop("preset", preset)
        comparison = {
            **{k: v for k, v in self.scale.hyper.items() if k in kind.Hyper.model_fields},
            **self.scale.methods.get(method, {}),
        }
        presets = {COMPARISON: comparison, **kind.presets}
        if preset not in presets:
            raise UserError(f"{method} has no preset {preset!r}; {suggestion(preset, presets)}")
        fields: dict[str, Any] = {
            "scale": self.scale.name,
            "dataset": dataset,
            "image_size": size.image_size,
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
                elif key in TrialSpec.model_fields and key not in ("hyper", "method", "scale"):
                    fields[key] = value
                else:
                    known = [*TrialSpec.model_fields, *kind.Hyper.model_fields]
                    raise UserError(
                        f"{where}.{method}: unknown hyper-parameter {key!r}; "
                        f"{suggestion(key, known)}"
                    )
        resolved = validated(kind.Hyper, hyper, f"hyper-parameters of {method}")
        fields["hyper"] = resolved.model_dump(mode="json")
        fields.setdefault("views", kind.views_of(resolved))
        spec = validated(TrialSpec, fields, f"spec of {method}")
        # recipes that do the same are one spec, so that they are trained once
        augmentation = tuple(canonical(recipe) for recipe in spec.augmentation)
        spec = spec.model_copy(update={"augmentation": augmentation})
        _check_common(spec, kind.crops)
        kind.check(spec)
        return spec


def _check_common(spec: TrialSpec, crops: int) -> None:
    for view in spec.views:
        if view not in VIEWS:
            raise UserError(f"{spec.method}: unknown view {view!r}; {suggestion(view, VIEWS)}")
        if spec.views.count(view) > 1:
            raise UserError(f"{spec.method}: view {view!r} is given twice")
    if spec.train_images is not None and spec.batch_size > spec.train_images:
        raise UserError(
            f"{spec.method}: a batch of {spec.batch_size} is more than the "
            f"{spec.train_images} training images; lower batch_size"
        )
    if len(spec.augmentation) not in (1, crops):
        raise UserError(
            f"{spec.method}: {len(spec.augmentation)} augmentation recipes for {crops} crops; "
            "give one for all or one for each"
        )


def load_config(values: Mapping[str, Any], scales: Path) -> tuple[Config, Scale]:
    """The validated config and its scale.

    Args:
        values: what Snakemake read from `config/config.yaml` and the command line.
        scales: the folder of the scales' files.

    Raises:
        UserError: names the key, or the closest scale.
    """
    config = validated(Config, values, "config")
    names = sorted(path.stem for path in scales.glob("*.yaml"))
    if config.scale not in names:
        raise UserError(
            f"config: unknown scale {config.scale!r}; {suggestion(config.scale, names)}"
        )
    path = scales / f"{config.scale}.yaml"
    scale = validated(Scale, yaml.safe_load(path.read_text()), str(path))
    for dataset in scale.datasets:
        if dataset not in DATASETS:
            raise UserError(
                f"{path}: unknown data set {dataset!r}; {suggestion(dataset, DATASETS)}"
            )
    return config, scale


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
