"""Random augmentation of whole batches, with parameters drawn per sample.

A *recipe* says which operations, how strong and how often. Operations are applied in one order,
that of `OPERATIONS`, whatever the order of the names in a recipe:

    crop, hflip, rotate     one resampling of the image (`metaug.data.geometry`)
    jitter, blur, randaugment, grey, solarize
    mixup                   with another image of the batch

This is the order of SimCLR, BYOL and InfoMin (blur and grey commute). It all happens on RGB in
[0, 1]; conversion to colour views and normalisation come after it (`metaug.data.views`).

Drawing and applying are apart, so that a method can share the parameters of one operation between
two crops (LooC): `draw` gives a dictionary by operation name, `apply` is deterministic.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metaug.data import geometry, photometric, randaugment
from metaug.errors import UserError
from metaug.spec import suggestion

Params = dict[str, Tensor]


class Operation(ABC):
    """Settings of one operation."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Parameters of n samples, each (n, ...)."""


class PixelOperation(Operation):
    """An operation on images of the final size, not part of the resampling."""

    @abstractmethod
    def apply(self, images: Tensor, params: Params) -> Tensor:
        """Transform (N, 3, S, S) float images in [0, 1], perhaps in place; params on the CPU."""


@dataclass(frozen=True)
class Crop(Operation):
    """Random resized crop, as torchvision's `RandomResizedCrop`: share of the area uniform, ratio
    of the sides log-uniform in [3/4, 4/3], ten tries, then the whole image.

    Area from 0.2 is CMC's, and so MetAug's (paper, section 4.1).
    """

    area: tuple[float, float] = (0.2, 1.0)

    def draw(self, n: int, generator: torch.Generator) -> Params:
        low, high = map(math.log, geometry.CROP_RATIO)
        tries = geometry.CROP_TRIES
        return {
            "area": _uniform((n, tries), *self.area, generator),
            "ratio": _uniform((n, tries), low, high, generator).exp_(),
            "position": torch.rand(n, 2, generator=generator),
        }


@dataclass(frozen=True)
class HFlip(Operation):
    """Mirror left to right with probability 0.5."""

    def draw(self, n: int, generator: torch.Generator) -> Params:
        return {"flip": _chosen(n, 0.5, generator)}


@dataclass(frozen=True)
class Rotate(Operation):
    """Turn by 0, 90, 180 or 270 degrees counter-clockwise, each as likely (choice: LooC's
    rotations; the paper names no angles)."""

    def draw(self, n: int, generator: torch.Generator) -> Params:
        return {"turns": torch.randint(4, (n,), generator=generator)}


@dataclass(frozen=True)
class Jitter(PixelOperation):
    """Colour jitter with probability p, as torchvision's `ColorJitter`: factors of brightness,
    contrast and saturation in [1 - x, 1 + x], shift of hue in [-x, x] of the circle, the four
    applied in an order drawn per sample.

    The defaults are MoCo v2's and half of SimCLR's full strength (choice: the paper names none).
    """

    strength: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    p: float = 0.8

    adjustments: ClassVar = {
        "brightness": photometric.adjust_brightness,
        "contrast": photometric.adjust_contrast,
        "saturation": photometric.adjust_saturation,
        "hue": photometric.adjust_hue,
    }

    def draw(self, n: int, generator: torch.Generator) -> Params:
        params = {
            "chosen": _chosen(n, self.p, generator),
            "order": torch.rand(n, 4, generator=generator).argsort(1),
        }
        for name, strength in zip(self.adjustments, self.strength, strict=True):
            middle = 0 if name == "hue" else 1
            params[name] = _uniform((n,), middle - strength, middle + strength, generator)
        return params

    def apply(self, images: Tensor, params: Params) -> Tensor:
        for order in params["order"].unbind(1):
            for number, (name, adjust) in enumerate(self.adjustments.items()):
                chosen = params["chosen"] & (order == number)
                _change(images, chosen, adjust, params[name])
        return images


@dataclass(frozen=True)
class Blur(PixelOperation):
    """Gaussian blur with probability p; sigma uniform in [0.1, 2] pixels, the kernel a tenth of
    the side, made odd (SimCLR), borders reflected (choice)."""

    p: float = 0.5

    def draw(self, n: int, generator: torch.Generator) -> Params:
        return {"chosen": _chosen(n, self.p, generator), "sigma": _uniform((n,), 0.1, 2, generator)}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        radius = max(1, images.shape[-1] // 20)
        blur = partial(photometric.gaussian_blur, radius=radius)
        return _change(images, params["chosen"], blur, params["sigma"])


@dataclass(frozen=True)
class RandAugment(PixelOperation):
    """RandAugment (Cubuk et al. 2020): `count` operations one after the other, each drawn from
    `names` per sample and carried out with probability p.

    Level and defaults are torchvision's: 9 of 0 ... 30.
    """

    count: int = 2
    level: int = 9
    p: float = 1.0
    names: tuple[str, ...] = randaugment.OPERATIONS

    def draw(self, n: int, generator: torch.Generator) -> Params:
        shape = (n, self.count)
        sign = torch.randint(2, shape, generator=generator) * 2 - 1
        return {
            "operation": torch.randint(len(self.names), shape, generator=generator),
            "strength": sign * (self.level / randaugment.MAX_LEVEL),
            "chosen": torch.rand(shape, generator=generator) < self.p,
        }

    def apply(self, images: Tensor, params: Params) -> Tensor:
        for step in range(self.count):
            names = [
                self.names[operation] if chosen else "Identity"
                for operation, chosen in zip(
                    params["operation"][:, step].tolist(),
                    params["chosen"][:, step].tolist(),
                    strict=True,
                )
            ]
            images = randaugment.apply_operations(images, names, params["strength"][:, step])
        return images


@dataclass(frozen=True)
class Grey(PixelOperation):
    """Replace by the luma with probability p.

    0.2 is SimCLR's and MoCo's, kept when grey is the only operation (choice; the paper names no
    probability): 32 % of the pairs of two crops then differ. At 0.5 half of them would, but half
    of all ab views would be blank, a handicap of the methods on colour views alone.
    """

    p: float = 0.2

    def draw(self, n: int, generator: torch.Generator) -> Params:
        return {"chosen": _chosen(n, self.p, generator)}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        return _change(images, params["chosen"], photometric.to_grey)


@dataclass(frozen=True)
class Solarize(PixelOperation):
    """Invert what is at least 0.5, with probability p (0.2: BYOL's second crop)."""

    p: float = 0.2

    def draw(self, n: int, generator: torch.Generator) -> Params:
        return {"chosen": _chosen(n, self.p, generator)}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        return _change(images, params["chosen"], photometric.solarize)


@dataclass(frozen=True)
class Mixup(PixelOperation):
    """lam * image + (1 - lam) * partner, lam uniform in [low, 1] (choice; DACL's linear mixup with
    alpha 0.9, unverified). The partner is another image of the batch, never the image itself, and
    each of the others is as likely."""

    low: float = 0.9

    def draw(self, n: int, generator: torch.Generator) -> Params:
        """Raises UserError for a batch of one image, which has no partner."""
        if n < 2:
            raise UserError("mixup needs a batch of at least 2 images")
        # The next one on a random circle.
        circle = torch.randperm(n, generator=generator)
        partner = torch.empty_like(circle)
        partner[circle] = circle.roll(-1)
        return {"lam": _uniform((n,), self.low, 1, generator), "partner": partner}

    def apply(self, images: Tensor, params: Params) -> Tensor:
        partners = images.index_select(0, params["partner"].to(images.device))
        return torch.lerp(partners, images, params["lam"].to(images.device)[:, None, None, None])


OPERATIONS: dict[str, Operation] = {
    "crop": Crop(),
    "hflip": HFlip(),
    "rotate": Rotate(),
    "jitter": Jitter(),
    "blur": Blur(),
    "randaugment": RandAugment(),
    "grey": Grey(),
    "solarize": Solarize(),
    "mixup": Mixup(),
}
"""The operations in the order of application, as strong as in a recipe joined with `+`."""


def _recipe(*names: str, **changed: Operation) -> dict[str, Operation]:
    wanted = {name: OPERATIONS[name] for name in names} | changed
    return {name: wanted[name] for name in OPERATIONS if name in wanted}


_IMAGENET_CROP = Crop(area=(0.08, 1.0))
_STRONG_JITTER = Jitter(strength=(0.8, 0.8, 0.8, 0.2))
_BYOL_JITTER = Jitter(strength=(0.4, 0.4, 0.2, 0.1))
# PyContrast's level 10 of 10 is torchvision's 30 of 30; its noise of 0.5 in the level is left out.
_PYCONTRAST = RandAugment(count=2, level=30, p=0.5)

RECIPES: dict[str, dict[str, Operation]] = {
    # Only brought to size.
    "none": {},
    # CMC's, and MetAug's for every method (paper, section 4.1).
    "cmc": _recipe("crop", "hflip"),
    # SimCLR on CIFAR-10 (README of google-research/simclr): jitter strength 0.5, no blur.
    "simclr": _recipe("hflip", "jitter", "grey", crop=_IMAGENET_CROP),
    # SimCLR on ImageNet; also solo-learn's `symmetric`.
    "simclr_imagenet": _recipe("hflip", "blur", "grey", crop=_IMAGENET_CROP, jitter=_STRONG_JITTER),
    # solo-learn's `symmetric-weak` and the two crops of its `asymmetric` (CIFAR).
    "symmetric_weak": _recipe("hflip", "jitter", "blur", "grey", crop=_IMAGENET_CROP),
    "asymmetric_1": _recipe("hflip", "grey", crop=_IMAGENET_CROP, jitter=_BYOL_JITTER),
    "asymmetric_2": _recipe("hflip", "grey", "solarize", crop=_IMAGENET_CROP, jitter=_BYOL_JITTER),
    "moco_v2": _recipe("crop", "hflip", "jitter", "blur", "grey"),
    # The two crops of BYOL, and of Barlow Twins.
    "byol_1": _recipe("hflip", "grey", crop=_IMAGENET_CROP, jitter=_BYOL_JITTER, blur=Blur(p=1.0)),
    "byol_2": _recipe(
        "hflip", "grey", "solarize", crop=_IMAGENET_CROP, jitter=_BYOL_JITTER, blur=Blur(p=0.1)
    ),
    # InfoMin (PyContrast's `D`).
    "infomin": _recipe(
        "crop", "hflip", "blur", "grey", jitter=_STRONG_JITTER, randaugment=_PYCONTRAST
    ),
    # The image that InfoMin's jigsaw branch cuts into patches (PyContrast).
    "jigsaw": _recipe("hflip", crop=Crop(area=(0.6, 1.0))),
    # CMC + RandAugment: without the operations that change colours, as PyContrast does for
    # colour views (choice: what CMC's authors ran for the quoted value is not known).
    "cmc_randaugment": _recipe(
        "crop",
        "hflip",
        randaugment=replace(_PYCONTRAST, names=randaugment.COLOR_PRESERVING),
    ),
}
"""Named recipes; where no strength is given it is that of `OPERATIONS`."""


def operations_of(recipe: str) -> dict[str, Operation]:
    """Operations of a recipe with their settings, in the order of application.

    Args:
        recipe: a key of `RECIPES`, or keys of `OPERATIONS` joined with `+` in any order.

    Raises:
        UserError: a name is unknown or given twice.
    """
    if recipe in RECIPES:
        return RECIPES[recipe]
    names = [name.strip() for name in recipe.split("+")]
    for name in names:
        if name not in OPERATIONS:
            known = [*OPERATIONS, *(RECIPES if len(names) == 1 else ())]
            raise UserError(f"augmentation {recipe!r}: unknown {name!r}; {suggestion(name, known)}")
        if names.count(name) > 1:
            raise UserError(f"augmentation {recipe!r}: {name!r} is given twice; give it once")
    return _recipe(*names)


def canonical(recipe: str) -> str:
    """The one name of a recipe: equal for recipes that do the same.

    A name of `RECIPES` if one has the same settings (`hflip+crop` is `cmc`), else the operations in
    the order of application (`mixup+crop` is `crop+mixup`).

    Raises:
        UserError: see `operations_of`.
    """
    operations = operations_of(recipe)
    for name, named in RECIPES.items():
        if named == operations:
            return name
    return "+".join(operations)


@dataclass(frozen=True)
class Augmentation:
    """A recipe at a size: callable on batches.

    Args:
        recipe: see `operations_of`.
        size: side of the result, pixels. Crops, and images of another size, are interpolated
            linearly without antialiasing: where a box is larger than `size` pixels, some pixels
            are skipped. So prepare a data set at this size or little above it.

    Raises:
        UserError: the recipe is unknown.
    """

    recipe: str
    size: int

    def __post_init__(self) -> None:
        operations_of(self.recipe)

    @property
    def operations(self) -> dict[str, Operation]:
        """Operations by name, in the order of application."""
        return operations_of(self.recipe)

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Params]:
        """Draw the parameters of n samples, by operation; all randomness is here.

        Equal states of the (CPU) generator give equal parameters. Parameters do not depend on the
        size of the images.
        """
        return {name: op.draw(n, generator) for name, op in self.operations.items()}

    @torch.no_grad()
    def apply(self, images: Tensor, params: Mapping[str, Params]) -> Tensor:
        """Transform images by drawn parameters.

        Args:
            images: (N, 3, H, W) uint8, or float in [0, 1]; channels-last memory is fastest. They
                are not changed.
            params: from `draw(N, ...)`, or put together from several draws of this recipe.

        Returns:
            (N, 3, size, size) float32 RGB in [0, 1] up to rounding, contiguous (the order in which
            colours are fast to convert; `make_views` makes channels-last views of it).

        Raises:
            UserError: images that are not square, under a recipe without `crop`.
        """
        result = self._bring_to_size(images, params)
        for name, operation in self.operations.items():
            if isinstance(operation, PixelOperation):
                result = operation.apply(result, params[name])
        return result

    def __call__(
        self, images: Tensor, generator: torch.Generator, part: tuple[int, int] = (0, 1)
    ) -> Tensor:
        """Draw and apply.

        Args:
            images: a batch, or a part of it.
            generator: source of the draws.
            part: which of how many equal parts of a batch the images are. They are transformed as
                they would be in the whole batch, unless by `mixup`, which needs all of it.
        """
        index, parts = part
        own = slice(index * len(images), (index + 1) * len(images))
        drawn = self.draw(parts * len(images), generator)
        params = {name: {k: v[own] for k, v in each.items()} for name, each in drawn.items()}
        return self.apply(images, params)

    def _bring_to_size(self, images: Tensor, params: Mapping[str, Params]) -> Tensor:
        n, _, height, width = images.shape
        drawn = {
            key: value.numpy()
            for name in ("crop", "hflip", "rotate")
            if name in self.operations
            for key, value in params[name].items()
        }
        flip = drawn.pop("flip", np.zeros(n, bool))
        turns = drawn.pop("turns", np.zeros(n, int))
        if "crop" in self.operations:
            corner, extent = geometry.crop_boxes(**drawn, height=height, width=width)
        elif height != width:
            raise UserError(
                f"images of {height} x {width} pixels: augmentation {self.recipe!r} needs square "
                "ones, since it does not crop; prepare the data set again"
            )
        elif height == self.size and not flip.any() and not turns.any():
            return images.contiguous() / (255 if images.dtype == torch.uint8 else 1)
        else:
            corner, extent = np.zeros((n, 2), int), np.full((n, 2), height)
        return geometry.crop_flip_rotate(images, self.size, corner, extent, flip, turns)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def _change(
    images: Tensor, chosen: Tensor, change: Callable[..., Tensor], *parameters: Tensor
) -> Tensor:
    """Replace the chosen images, (N,) bool, by `change(images, *parameters)`, in place."""
    # The index is made on the CPU, so that an accelerator need not be waited for.
    index = chosen.nonzero()[:, 0]
    if len(index):
        there = index.to(images.device)
        own = (values[index].to(images.device) for values in parameters)
        images.index_copy_(0, there, change(images.index_select(0, there), *own))
    return images


def _chosen(n: int, p: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) < p
