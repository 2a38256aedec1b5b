"""InfoMin Aug. (Tian et al. 2020): MoCo with stronger augmentation and a jigsaw branch."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.moco import MoCo, info_nce_loss
from baselines.recipes import PYCONTRAST_SGD
from metaug.data.augment import Augmentation
from metaug.ema import ema_update
from metaug.errors import UserError
from metaug.method import Batch, DataShape
from metaug.models.heads import mlp
from metaug.seeds import Draws
from metaug.spec import TrialSpec

PATCH_SHARE = 64 / 85
"""Side of a patch over that of the cell it is cut from (PyContrast: datasets/util.py)."""


def jigsaw_patches(images: Tensor, grid: int, generator: torch.Generator) -> Tensor:
    """Cut a square patch from every cell of a grid, at a place drawn for each, and shuffle them.

    Args:
        images: (N, C, S, S).
        grid: cells along a side; a cell has S // grid pixels, a patch 64 / 85 of them.
        generator: source of the places and of each image's order, on the CPU.

    Returns:
        (N * grid * grid, C, P, P): the patches of one image after another.
    """
    count, channels, size, _ = images.shape
    cell = size // grid
    side = max(1, round(cell * PATCH_SHARE))
    cells = grid * grid
    order = torch.rand(count, cells, generator=generator).argsort(1)
    corner = torch.stack([order // grid, order % grid]) * cell
    corner += torch.randint(cell - side + 1, corner.shape, generator=generator)
    corner = corner.to(images.device)
    within = torch.arange(side, device=images.device)
    rows, columns = (corner[axis][..., None] + within for axis in (0, 1))
    image = torch.arange(count, device=images.device)[:, None, None, None]
    patches = images.movedim(1, -1)[image, rows[..., :, None], columns[..., None, :]]
    return patches.reshape(count * cells, side, side, channels).movedim(-1, 1)


class JigsawHead(nn.Module):
    """Projection of each patch, then one linear layer over the patches of an image (PyContrast:
    networks/util.py): (N * cells, in_features) -> (N, out_features)."""

    def __init__(self, in_features: int, hidden: int, out_features: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.each = mlp((in_features, hidden, out_features), batch_norm=False)
        self.together = nn.Linear(cells * out_features, out_features)

    def forward(self, patches: Tensor) -> Tensor:
        projected = self.each(patches)
        return self.together(projected.view(len(patches) // self.cells, -1))


class InfoMin(MoCo):
    """InfoMin Aug.: loss (1 - weight) instance + weight jigsaw, both InfoNCE with the keys of MoCo
    and one queue; the momentum encoder moves after the step, unlike MoCo's (HobbitLong/PyContrast).

    The jigsaw query is made of shuffled patches of a third, weakly augmented crop. A ResNet encodes
    them at their size; an AlexNet takes one size only, so that they are enlarged to it (choice) and
    cost as many passes as there are patches.

    Its augmentation is the method, so that it keeps it where all others get the comparison's, and
    its optimiser is PyContrast's. `own` is PyContrast's recipe for ImageNet; it has none for small
    images. (Its rate falls to 3e-5, ours to 0.)
    """

    name = "infomin"
    version = 1  # its own count, not that of MoCo
    defaults: ClassVar = {"augmentation": "infomin", **PYCONTRAST_SGD}
    presets: ClassVar = {
        "own": {
            "augmentation": "infomin",
            "batch_size": 256,
            **PYCONTRAST_SGD,
            "schedule": "cosine",
            "queue_size": 65536,
            "momentum_start": 0.999,
            "bn_splits": 8,
        }
    }

    class Hyper(MoCo.Hyper):
        """Hyper-parameters of InfoMin: MoCo's and those of the jigsaw branch."""

        temperature: float = Field(0.15, gt=0, description="softmax temperature; PyContrast")
        jigsaw_weight: float = Field(
            0.5, ge=0, le=1, description="weight of the jigsaw loss; PyContrast"
        )
        jigsaw_grid: int = Field(
            3, ge=1, description="cells along a side of the jigsaw; PyContrast"
        )
        bn_splits: int = Field(
            1, ge=1, description="parts of a batch with batch norm of their own; (choice)"
        )

    # It is only called with the hyper-parameters of its own class, which mypy cannot know.
    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:  # type: ignore[override]
        super().check(spec, hyper)
        if spec.image_size // hyper.jigsaw_grid < 8:
            raise UserError(
                f"{spec.method}: jigsaw_grid {hyper.jigsaw_grid} cuts images of {spec.image_size} "
                "pixels into cells of fewer than 8; lower jigsaw_grid"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        self.jigsaw = Augmentation("jigsaw", spec.image_size)
        self.jigsaw_head = JigsawHead(
            self.out_features, h.projector_hidden, h.feature_dim, h.jigsaw_grid**2
        )

    def augment(self, images: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        return (*super().augment(images, draws), self.jigsaw(images, draws("crop 2")))

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        h = self.hyper
        query = self.embed(self.query_network, batch.crops[0])
        key, queue = self.keys(batch), self.queue.read()
        instance = info_nce_loss(query, key, queue, h.temperature)
        jigsaw = info_nce_loss(self.jigsaw_query(batch), key, queue, h.temperature)
        self.queue.enqueue(key)
        loss = torch.lerp(instance, jigsaw, h.jigsaw_weight)
        return loss, {"instance_loss": instance.detach(), "jigsaw_loss": jigsaw.detach()}

    def jigsaw_query(self, batch: Batch) -> Tensor:
        """Embedding (N, D) of the shuffled patches of the third crops, not normalised."""
        patches = jigsaw_patches(batch.crops[2], self.hyper.jigsaw_grid, batch.draws("patches"))
        if self.spec.backbone == "alexnet":
            size = self.spec.image_size
            patches = F.interpolate(patches, size=(size, size), mode="bilinear")
        return self.jigsaw_head(self.encode(patches.contiguous(memory_format=torch.channels_last)))

    def after_step(self, batch: Batch) -> None:
        ema_update(self.key_network, self.query_network, self.hyper.momentum_start)
