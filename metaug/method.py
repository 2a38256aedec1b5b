"""The interface every method implements, and the registry that finds methods by name."""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn, optim

from metaug.data.augment import Augmentation
from metaug.data.views import VIEWS, make_views
from metaug.errors import UserError
from metaug.models import AlexNet, ResNet, build_encoder
from metaug.optimizers import apply_gradient, build_optimizer, trained_by
from metaug.seeds import Draws, derive_seed
from metaug.spec import Frozen, TrialSpec, suggestion, validated

_MOST_WEIGHTS = 2**30  # six times those of the largest training of `full`

METHOD_PACKAGES = ("metaug.algorithm", "baselines")
"""Where methods are looked for; a new file in `baselines` is found by itself."""


@dataclass(frozen=True)
class DataShape:
    """What a method may know of its training data: the number of images and of classes."""

    images: int
    classes: int


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Attributes:
        crops: augmented copies of the images, each (N, 3, S, S), RGB in [0, 1].
        index: position of each image in the training subset, (N,) int64.
        labels: class of each image, (N,) int64.
            Where several processes train together, index and labels are those of the whole batch,
            crops those of this process's part (`Method.part`), and `Method.gather` joins what is
            made of the parts.
        epoch: number of the epoch, from 0.
        pass_index: which of the epoch's `Method.passes` passes over the data this is.
        step: number of the step in the whole training, from 0.
        progress: share of the training that is done, in [0, 1). It counts epochs and the position
            in the pass, so that it does not depend on the number of passes.
        draws: a fresh CPU generator for each purpose, as `batch.draws("negatives")`. It depends on
            the trial and the place in the training (epoch, pass, position in the pass), not on
            the method: methods that name one purpose draw the same numbers.
    """

    crops: tuple[Tensor, ...]
    index: Tensor
    labels: Tensor
    epoch: int
    pass_index: int
    step: int
    progress: float
    draws: Draws

    def views(self, names: tuple[str, ...], crop: int = 0) -> dict[str, Tensor]:
        """Normalised colour views of one crop."""
        return make_views(self.crops[crop], names)


class Method(nn.Module):
    """A way to train encoders. A subclass in its own file is all that a new method needs.

    A subclass sets the class variables, builds its heads in `__init__` and returns a loss from
    `training_step`. The weights that modules are built with are drawn anew by `build_method`, from
    the trial and each module's name; afterwards every draw comes from `Batch.draws`.

    Class variables:
        name: the name in configs, tables and the tidy frame.
        version: raised when a change of the method changes its numbers (golden tests ask for it).
        default_views: colour views, one encoder each; a spec may name others.
        number_of_views: how many views a spec may name: `one`, `several` (two or more) or `any`,
            which leaves it to `check`.
        crops: number of augmented copies of each image.
        passes: passes over the data in one epoch.
        trained: false for a method without training.
        data_parallel: names of the modules that see the crops, before `gather` joins what all
            processes have made of their parts of a batch; empty: one process alone trains it.
        defaults: fields of the spec that this method changes from the scale's.
        presets: named sets of changes of the spec; `own` is the method's published recipe.
        Hyper: its hyper-parameters with defaults.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    default_views: ClassVar[tuple[str, ...]] = ("rgb",)
    number_of_views: ClassVar[Literal["one", "several", "any"]] = "one"
    crops: ClassVar[int] = 2
    passes: int = 1
    trained: ClassVar[bool] = True
    data_parallel: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, Any]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    mixed_precision: bool = False
    part: tuple[int, int] = (0, 1)
    """Which of how many equal parts of a batch this process augments and encodes."""

    class Hyper(Frozen):
        """Hyper-parameters of the method; none unless a subclass says so."""

    @classmethod
    def views_of(cls, hyper: Any) -> tuple[str, ...]:
        """The views the method takes when the spec names none."""
        return cls.default_views

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Any) -> None:
        """Refuse a spec that contradicts itself; called for every spec, before it is built.

        Args:
            spec: views, crops and probe are checked before.
            hyper: the spec's hyper-parameters, an instance of `cls.Hyper`.

        Raises:
            UserError: one line that begins with the method's name and says what to change.
        """

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__()
        self.spec = spec
        self.data = data
        self.hyper: Any = validated(self.Hyper, spec.hyper, f"{spec.method}: hyper-parameters")
        width = spec.width * (spec.view_width if len(spec.views) > 1 else 1)
        self.encoders = nn.ModuleDict(
            {
                view: build_encoder(spec.backbone, VIEWS[view], width, spec.image_size)
                for view in spec.views
            }
        )
        recipes = spec.augmentation * (self.crops if len(spec.augmentation) == 1 else 1)
        self.augmentations = tuple(Augmentation(recipe, spec.image_size) for recipe in recipes)

    @property
    def encoder(self) -> nn.Module:
        """The encoder of a method with one view."""
        (encoder,) = self.encoders.values()
        return encoder

    @property
    def out_features(self) -> int:
        """Width of one encoder's last representation."""
        return self.encoder_of(self.spec.views[0]).out_features

    def encoder_of(self, view: str) -> AlexNet | ResNet:
        """The encoder of a view, with the API of `build_encoder`."""
        return cast(AlexNet | ResNet, self.encoders[view])

    def encode(self, images: Tensor, encoder: nn.Module | None = None) -> Tensor:
        """Representation (N, out_features) of RGB crops by the encoder of a one-view method, or by
        another one of the same kind, such as its momentum encoder."""
        (view,) = self.spec.views
        with self.autocast():
            network = self.encoder if encoder is None else encoder
            features = network(make_views(images, (view,))[view])
        return features.float()

    def autocast(self) -> torch.autocast:
        """bfloat16 where mixed precision is on; meant for encoders alone, losses stay float32."""
        device = next(self.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.mixed_precision)

    @staticmethod
    def gather(part: Tensor) -> Tensor:
        """Embeddings (N, D) of the whole batch from those of this process's part of it; the same
        where one process trains. `metaug.training.parallel` replaces it, and `average`."""
        return part

    @staticmethod
    def average(gradients: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Gradients of parameters, averaged over the processes that train together."""
        return tuple(gradients)

    def start(self) -> None:
        """Called once, when the initial weights have been drawn: copies them where a second network
        begins with the weights of a first. The global random state may be used."""

    def warm_up(self, batches: Iterable[Batch]) -> None:
        """Called once before the first step, in train mode, with all training images in batches:
        for a method that remembers a feature of every image, or that has no steps."""

    def augment(self, images: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """The crops of uint8 images (N, 3, H, W), a batch or its `part`: `self.crops` independent
        ones.

        Crop number i is drawn for the purpose `crop i`, so that it is the same for every method
        with the same recipe.
        """
        return tuple(
            augmentation(images, draws(f"crop {i}"), self.part)
            for i, augmentation in enumerate(self.augmentations)
        )

    @cached_property
    def optimizers(self) -> dict[str, optim.Optimizer]:
        """Optimisers by name, built when they are first asked for."""
        return self.build_optimizers()

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        """New optimisers by name; those of `optimizers` are built by it."""
        trainable = [p for p in self.parameters() if p.requires_grad]
        return {"encoder": build_optimizer(trainable, self.spec)} if trainable else {}

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss of a batch, a scalar, and further quantities to log."""
        raise TypeError(f"{type(self).__name__} defines neither training_step nor update")

    def before_step(self, batch: Batch) -> None:
        """Called between the backward pass and the optimiser's step: a parameter whose gradient it
        sets to None stays as it is."""

    def after_step(self, batch: Batch) -> None:
        """Called after the optimiser's step: moving averages, queues."""

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        """One step of training; returns what is logged, `loss` among it."""
        optimizer = self.optimizers["encoder"]
        loss, logs = self.training_step(batch)
        loss.backward()
        self.before_step(batch)
        found = {p: p.grad for p in trained_by(optimizer) if p.grad is not None}
        apply_gradient(optimizer, self.average(found.values()), found)
        self.after_step(batch)
        return {"loss": loss.detach(), **logs}

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        """What is probed: for each read-out the representation of RGB images, (N, D).

        A key is a probe (`conv`, `fc`, `pool`), optionally followed by `;` and a setting of the
        tidy frame (`conv;features=with_augmented`). Views are concatenated layer by layer.
        Called in eval mode without gradient.
        """
        views = make_views(images, self.spec.views)
        layers = [self.encoder_of(view).layers(views[view]) for view in self.spec.views]
        return {name: torch.cat([layer[name] for layer in layers], 1) for name in layers[0]}

    def predict(self, images: Tensor) -> Tensor | None:
        """Class scores (N, classes) of RGB images, where the method learns to classify by itself.

        Called in eval mode without gradient; the scores become the probe `end_to_end`.
        """
        return None

    def summaries(self, images: Tensor, generator: torch.Generator) -> dict[str, dict[str, float]]:
        """Further numbers of the trained method for the tidy frame, by setting and metric.

        Called once, in eval mode without gradient, with test images (N, 3, S, S) in [0, 1].
        """
        return {}


@cache
def registered_methods() -> dict[str, type[Method]]:
    """Every method by name: all `Method` subclasses of `METHOD_PACKAGES` that have a name."""
    modules = []
    for package in METHOD_PACKAGES:
        module = importlib.import_module(package)
        modules.append(module)
        for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
            modules.append(importlib.import_module(f"{package}.{info.name}"))
    methods: dict[str, type[Method]] = {}
    for module in modules:
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, Method)
                and value.__module__ == module.__name__
                and "name" in vars(value)
            ):
                if not re.fullmatch("[a-z][a-z0-9_]*", value.name):
                    raise UserError(
                        f"{module.__name__}: the name {value.name!r} of a method must be of small "
                        "letters, digits and _"
                    )
                if value.name in methods:
                    raise UserError(
                        f"{module.__name__}: another method is called {value.name!r} too"
                    )
                methods[value.name] = value
    return dict(sorted(methods.items()))


def find_method(name: str) -> type[Method]:
    """The method called `name`.

    Raises:
        UserError: there is none; suggests the closest name.
    """
    methods = registered_methods()
    if name not in methods:
        raise UserError(f"unknown method {name!r}; {suggestion(name, methods)}")
    return methods[name]


def check_size(spec: TrialSpec, classes: int) -> None:
    """Build the networks of a spec without memory for their weights.

    Raises:
        UserError: they cannot be built, or have so many weights that a width must be mistaken.
    """
    method = find_method(spec.method)
    try:
        with torch.device("meta"):
            built = method(spec, DataShape(spec.train_images or spec.batch_size, classes))
    except (ValueError, RuntimeError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{spec.method}: its networks cannot be built: {reason}") from error
    weights = sum(tensor.numel() for tensor in (*built.parameters(), *built.buffers()))
    if weights > _MOST_WEIGHTS:
        raise UserError(
            f"{spec.method}: its networks have {weights:,} weights, more than {_MOST_WEIGHTS:,}: "
            "lower width, or what else was raised"
        )


def build_method(spec: TrialSpec, data: DataShape, trial: int) -> Method:
    """Build the method of a spec with the initial weights of a trial.

    Methods that have a module of the same name and sizes start with the same weights of it. The
    global random state is put back as it was.
    """
    with torch.random.fork_rng(devices=[]):
        method = find_method(spec.method)(spec, data)
        for name, module in method.named_children():
            draw_weights(module, trial, name)
        torch.manual_seed(derive_seed("start", trial))
        method.start()
    return method.to(memory_format=torch.channels_last)


def draw_weights(module: nn.Module, trial: int, name: str) -> None:
    """Draw the initial weights of a module from the trial and its name, in place.

    A module with `reset_parameters`, as torch's layers have, draws its own and those of what it
    contains; of any other each part is drawn under its own name, as `projectors.ab`.
    """
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        torch.manual_seed(derive_seed("weights", trial, name))
        reset()
        return
    for part, child in module.named_children():
        draw_weights(child, trial, f"{name}.{part}")
