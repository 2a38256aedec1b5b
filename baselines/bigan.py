"""BiGAN (Donahue et al. 2017): an encoder learned by the game between generator and discriminator.

The discriminator tells pairs (image, its code) from pairs (image made of a code, that code). Fooled
best, the encoder inverts the generator.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn, optim
from torch.nn import functional as F

from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.optimizers import adam, apply_gradient
from metaug.spec import Frozen, TrialSpec

BASE_CHANNELS = 64
"""Channels of generator and discriminator at full image size and width (choice: DCGAN's)."""


def bigan_losses(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the game (Donahue et al. 2017, Eq. 4; jeffdonahue/bigan: gan.py).

    The discriminator's: half the cross-entropies of both kinds of pairs with their labels. The
    other players', who play together: the same with labels exchanged (non-saturating).

    Args:
        real: logits of pairs (x, E(x)), any shape.
        generated: logits of pairs (G(z), z), any shape.

    Returns:
        Both losses, scalars > 0; ln 2 each for a discriminator that always says one half.
    """
    discriminator = (F.softplus(-real).mean() + F.softplus(generated).mean()) / 2
    others = (F.softplus(real).mean() + F.softplus(-generated).mean()) / 2
    return discriminator, others


def resolutions(image_size: int) -> tuple[int, int]:
    """The smallest map, 4 to 7 pixels wide, and how often it doubles to `image_size`.

    Raises:
        UserError: there is no such map.
    """
    doublings = 0
    side = image_size
    while side > 7 and side % 2 == 0:
        side //= 2
        doublings += 1
    if not 4 <= side <= 7:
        raise UserError(
            f"bigan makes images of 4 to 7 times a power of two pixels, not {image_size}; use "
            "image_size 32, 64, 96 or 224"
        )
    return side, doublings


class Generator(nn.Module):
    """Codes (N, D) to images (N, 3, S, S) in [-1, 1]: DCGAN's transposed convolutions (choice)."""

    def __init__(self, latent_dim: int, channels: int, image_size: int) -> None:
        super().__init__()
        side, doublings = resolutions(image_size)
        widths = [channels * 2**i for i in reversed(range(doublings))]
        self.first = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * side**2, bias=False),
            nn.Unflatten(1, (widths[0], side, side)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, stride=2, padding=1), nn.Tanh()]
        self.others = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        return self.others(self.first(codes))


class Discriminator(nn.Module):
    """Pairs of images (N, 3, S, S) in [-1, 1] and codes (N, D) to logits (N,).

    Strided convolutions of the image, a layer of the code, and two layers of both (choice: the
    original adds the code at every layer).
    """

    def __init__(self, latent_dim: int, channels: int, image_size: int) -> None:
        super().__init__()
        side, doublings = resolutions(image_size)
        widths = [3, *(channels * 2**i for i in range(doublings))]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=i == 0))
            if i:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
        self.of_image = nn.Sequential(*layers, nn.Flatten())
        hidden = widths[-1] * 4
        self.of_code = nn.Sequential(nn.Linear(latent_dim, hidden), nn.LeakyReLU(0.2))
        self.of_both = nn.Sequential(
            nn.Linear(widths[-1] * side**2 + hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        return self.of_both(torch.cat([self.of_image(images), self.of_code(codes)], 1))[:, 0]


class BiGAN(Method):
    """BiGAN with our AlexNet or ResNet as the encoder. A linear layer and a sigmoid, scaled to the
    range of the prior, make the code.

    All three networks take one step from the same forward pass. The encoder is trained by the game
    alone, without reconstruction. The row that the paper quotes is the DIM authors' run with DIM's
    network and probe; this one shares backbone, crops and linear probe with all other rows.

    The step's size and decay are the method's own at every scale (`defaults`): the common ones are
    made for contrastive losses. `own` is jeffdonahue/bigan's recipe for ImageNet; its decay of the
    rate in the second half of training and its exempting batch norm from weight decay are left out,
    and the crops are the comparison's, where it takes 64-pixel crops of 72-pixel images.
    """

    name = "bigan"
    version = 2
    crops = 1
    defaults: ClassVar = {"optimizer": "adam", "learning_rate": 2e-4, "weight_decay": 2.5e-5}
    presets: ClassVar = {
        "own": {
            "augmentation": "cmc",
            "batch_size": 128,
            "schedule": "constant",
            "latent_dim": 200,
            "adam_beta1": 0.5,
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of BiGAN."""

        latent_dim: int = Field(
            200, ge=1, description="width of the code, uniform on [-1, 1]; BiGAN on ImageNet"
        )
        adam_beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first beta; BiGAN")

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        resolutions(spec.image_size)
        if spec.optimizer != "adam":
            raise UserError(
                f"{spec.method} is trained with Adam (adam_beta1): optimizer={spec.optimizer} does "
                "not apply; leave it out"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        dim = self.hyper.latent_dim
        channels = max(1, round(BASE_CHANNELS * spec.width))
        self.latent = nn.Linear(self.out_features, dim)
        self.generator = Generator(dim, channels, spec.image_size)
        self.discriminator = Discriminator(dim, channels, spec.image_size)

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimiser: encoder and generator together, the discriminator."""
        names = dict(self.named_parameters())
        judge = [p for name, p in names.items() if name.startswith("discriminator.")]
        others = [p for name, p in names.items() if not name.startswith("discriminator.")]
        return {"encoder": others, "discriminator": judge}

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        betas = (self.hyper.adam_beta1, 0.999)
        return {
            name: adam(parameters, self.spec.learning_rate, self.spec.weight_decay, betas)
            for name, parameters in self.players().items()
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Loss of each optimiser's players, from one forward pass of all three networks."""
        images = batch.crops[0]
        # in the range of the prior (jeffdonahue/bigan: dist.py, UniformDistribution)
        encoded = 2 * self.latent(self.encode(images)).sigmoid() - 1
        codes = torch.rand(encoded.shape, generator=batch.draws("codes")) * 2 - 1
        codes = codes.to(images.device)
        # in batches of their own, as the original does unless told otherwise (--cat_inputs)
        real = self.discriminator(images * 2 - 1, encoded)
        generated = self.discriminator(self.generator(codes), codes)
        judge, others = bigan_losses(real, generated)
        return {"encoder": others, "discriminator": judge}

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        losses, players = self.losses(batch), self.players()
        gradients = {
            name: torch.autograd.grad(loss, players[name], retain_graph=True)
            for name, loss in losses.items()
        }
        for name, optimizer in self.optimizers.items():
            apply_gradient(optimizer, gradients[name])
        return {
            "loss": losses["encoder"].detach(),
            "discriminator_loss": losses["discriminator"].detach(),
        }
