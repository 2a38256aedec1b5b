"""The grid of a scale: makes the spec of every training, checked and complete."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from metaug.config import NOT_A_SETTING, BackboneScale, Config, DatasetScale, Scale
from metaug.data.augment import canonical
from metaug.data.datasets import DATASETS, Dataset
from metaug.data.user import check_names, user_dataset
from metaug.data.views import VIEWS
from metaug.errors import UserError
from metaug.method import Method, check_size, find_method, registered_methods
from metaug.spec import Scalar, TrialSpec, brief, suggestion, validated

COMPARISON = "metaug"
"""The preset of the paper's comparison: one protocol for all methods."""

Value = TypeVar("Value", bound=Scalar)
NO_USER_DATASETS: Mapping[str, Dataset] = MappingProxyType({})


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
        self.keys_read: set[str] = set()  # of the scale's `grid`, by `values`
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
        type of the default.

        Raises:
            UserError: the scale gives none, or one of another type; names scale and key.
        """
        kind: Any = type(default[0])
        where = self.where(key)
        self.keys_read.add(key)
        given = self.scale.grid.get(key, default)
        try:
            values = tuple(_as(kind, value) for value in given)
        except (TypeError, ValueError):
            raise UserError(
                f"{where}: {brief(given)} are not all of type {kind.__name__}"
            ) from None
        if not values:
            raise UserError(f"{where} has no value; leave the key out for the paper's")
        return values

    def choices(self, key: str, default: tuple[Value, ...]) -> tuple[Value, ...]:
        """As `values`, where a scale may only choose from the `default`.

        Raises:
            UserError: the scale gives something else, too.
        """
        values = self.values(key, default)
        for value in values:
            if value not in default:
                known = suggestion(value, map(str, default))
                raise UserError(f"{self.where(key)}: unknown {value!r}; {known}")
        return values

    def value(self, key: str, default: Value) -> Value:
        """The one value of `grid[key]`, as `values`.

        Raises:
            UserError: the scale gives several, too.
        """
        values = self.values(key, (default,))
        if len(values) > 1:
            raise UserError(f"{self.where(key)} takes one value, not {len(values)}")
        return values[0]

    def where(self, key: str) -> str:
        """A key of the scale's `grid`, as messages call it."""
        return f"scale {self.scale.name}: grid.{key}"

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
                elif key in NOT_A_SETTING:
                    raise UserError(f"{where}.{method}: {key} cannot be set: {NOT_A_SETTING[key]}")
                elif key in TrialSpec.model_fields:
                    fields[key] = value
                else:
                    known = {"preset", *TrialSpec.model_fields, *kind.Hyper.model_fields}
                    raise UserError(
                        f"{where}.{method}: unknown hyper-parameter {brief(key)}; "
                        f"{suggestion(key, known - NOT_A_SETTING.keys())}"
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


def _as(kind: type, value: Any) -> Any:
    """A value of a scale's grid in this type. YAML reads 1e-3 as a text, which is a float too.

    Raises:
        ValueError: it is of another type: 64.9 is no int, and "false" no bool.
    """
    found = kind(value)
    if found != value and not (kind is float and isinstance(value, str)):
        raise ValueError(value)
    return found
