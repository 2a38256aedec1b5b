"""The operations of an augmentation: what each draws for a sample, and what it does to images.

Drawing and applying are apart, so that a method can share the parameters of one operation between
two crops (LooC). Everything happens on RGB in [0, 1].
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from metaug.data import geometry, photometric, randaugment
from metaug.errors import UserError

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
