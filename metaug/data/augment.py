"""Random augmentation of whole batches, with parameters drawn per sample.

A *recipe* says which operations (`metaug.data.operations`), how strong and how often. They are
applied in one order, that of `OPERATIONS`, whatever the order of the names in a recipe:

    crop, hflip, rotate     one resampling of the image (`metaug.data.geometry`)
    jitter, blur, randaugment, grey, solarize
    mixup                   with another image of the batch

This is the order of SimCLR, BYOL and InfoMin (blur and grey commute). Conversion to colour views
and normalisation come after it (`metaug.data.views`).

`draw` gives the parameters by the operation's name, and `apply` is deterministic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metaug.data import geometry, randaugment
from metaug.data.operations import (
    OPERATIONS,
    Blur,
    Crop,
    Jitter,
    Operation,
    Params,
    PixelOperation,
    RandAugment,
)
from metaug.errors import UserError
from metaug.spec import suggestion


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
