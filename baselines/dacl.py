"""DACL (Verma et al. 2021): positives made by mixing an image with other images of the batch.

No official code exists; the forms are the paper's as the literature cites them (unverified).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.simclr import SimCLR, nt_xent_loss
from metaug.data.augment import operations_of
from metaug.errors import UserError
from metaug.method import Batch
from metaug.spec import TrialSpec

KINDS = ("linear", "geometric", "binary")


def linear_mixup(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """weight images + (1 - weight) partners, for tensors (N, ...) and weights (N,) in [0, 1].

    It commutes with an affine normalisation of the channels: mixing RGB in [0, 1] and normalising
    is the same as mixing normalised RGB, the input space of the network.
    """
    return torch.lerp(partners, images, _spread(weight, images))


def geometric_mixup(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """images^weight partners^(1 - weight), elementwise; zero where one of the two is.

    Args:
        images, partners: (N, ...) in [0, 1], not normalised: negative values have no such power.
        weight: (N,) in [0, 1].
    """
    weight = _spread(weight, images)
    return images.pow(weight) * partners.pow(1 - weight)


def binary_mixup(images: Tensor, partners: Tensor, kept: Tensor) -> Tensor:
    """images where `kept` (bool, of their shape), partners elsewhere."""
    return torch.where(kept, images, partners)


def _spread(weight: Tensor, images: Tensor) -> Tensor:
    return weight.view(-1, *[1] * (images.ndim - 1)).to(images.dtype)


def draw_partners(images: int, generator: torch.Generator) -> Tensor:
    """For each image of a batch two others, one for each view: different from it and from each
    other, each pair as likely.

    Returns:
        Positions in the batch, (2, images) int64.

    Raises:
        ValueError: fewer than three images.
    """
    if images < 3:
        raise ValueError(f"two partners for each image need at least 3 images, not {images}")
    first = torch.randint(1, images, (images,), generator=generator)
    second = torch.randint(1, images - 1, (images,), generator=generator)
    second += second >= first  # skips the first partner's place on the circle
    return (torch.arange(images) + torch.stack([first, second])) % images


class DACL(SimCLR):
    """NT-Xent between two mixed versions of each image, mixed after the augmentation.

    `mixup` is `linear` for DACL; `any`, DACL+, draws one of the three kinds for each image and
    view. In MetAug's comparison the augmentation is CMC's (paper, section 4.1).

    `own` follows the paper's image experiments (unverified): SimCLR's augmentation, batch 256, t
    0.5 of {0.1, 0.5, 1}; SGD with lightly's rates stands in for LARS (choice).
    """

    name = "dacl"
    version = 2
    # an image is mixed with others of the whole batch
    data_parallel: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar = {
        "own": {
            "augmentation": "simclr",
            "batch_size": 256,
            "optimizer": "sgd",
            "learning_rate": 0.12,
            "weight_decay": 5e-4,
            "schedule": "cosine",
            "temperature": 0.5,
            "mixup": "linear",
            "lambda_min": 0.9,
        }
    }

    class Hyper(SimCLR.Hyper):
        """Hyper-parameters of DACL."""

        mixup: Literal["linear", "geometric", "binary", "any"] = Field(
            "linear", description="how images are mixed; DACL: linear, DACL+: any (unverified)"
        )
        lambda_min: float = Field(
            0.9,
            gt=0.5,
            le=1,
            description="least weight of the image itself in linear and geometric mixup, and the "
            "share of values kept in binary mixup; DACL (unverified)",
        )

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        for recipe in spec.augmentation:
            if "mixup" in operations_of(recipe):
                raise UserError(
                    f"{spec.method} mixes by itself: leave mixup out of augmentation {recipe!r}"
                )
        if spec.batch_size < 3:
            raise UserError(
                f"{spec.method}: batch_size {spec.batch_size} leaves no two partners for an image; "
                "use at least 3"
            )

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        partners = draw_partners(len(batch.index), batch.draws("partners"))
        mixed = (
            self.mix(crop, crop[other], batch.draws(f"mixup {i}"))
            for i, (crop, other) in enumerate(
                zip(batch.crops, partners.to(batch.index.device), strict=True)
            )
        )
        z1, z2 = (self.projector(self.encode(images)) for images in mixed)
        return nt_xent_loss(z1, z2, self.hyper.temperature), {}

    def mix(self, images: Tensor, partners: Tensor, generator: torch.Generator) -> Tensor:
        """Mix crops with those of their partners, (N, 3, S, S) in [0, 1]."""
        h = self.hyper
        kinds = KINDS if h.mixup == "any" else (h.mixup,)
        drawn = torch.randint(len(kinds), (len(images),), generator=generator)
        weight = torch.empty(len(images)).uniform_(h.lambda_min, 1, generator=generator)
        mixed = images.clone()
        for number, kind in enumerate(kinds):
            rows = (drawn == number).nonzero()[:, 0].to(images.device)
            own, other = images[rows], partners[rows]
            if kind == "binary":
                kept = torch.rand(own.shape, generator=generator) < h.lambda_min
                mixed[rows] = binary_mixup(own, other, kept.to(images.device))
            else:
                function = linear_mixup if kind == "linear" else geometric_mixup
                mixed[rows] = function(own, other, weight.to(images.device)[rows])
        return mixed
