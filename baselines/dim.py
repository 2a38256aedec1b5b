"""Deep InfoMax, local objective (DIM(L); Hjelm et al. 2019): a global vector that knows every part.

A global summary of an image is trained to score high with all local features of that image and low
with those of other images, while a discriminator keeps its distribution close to a uniform prior.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn, optim
from torch.nn import functional as F

from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method
from metaug.models.alexnet import AlexNet
from metaug.models.heads import mlp
from metaug.optimizers import apply_gradient, build_optimizer, trained_by
from metaug.spec import Frozen, TrialSpec

LOCAL_STAGE = "conv3"
"""Where the local features come from, as in DIM's own AlexNet."""


def pair_scores(local: Tensor, summary: Tensor) -> Tensor:
    """Dot products of every image's summary with every image's local features.

    Args:
        local: (N, L, D), L locations.
        summary: (N, D).

    Returns:
        (N, N, L): summary of the first image, location of the second.
    """
    return torch.einsum("id,jld->ijl", summary, local)


def dim_jsd_loss(local: Tensor, summary: Tensor) -> Tensor:
    """Jensen-Shannon form of the local objective (Hjelm et al. 2019, Eq. 4 and 8; rdevon/DIM:
    cortex_DIM/functions/dim_losses.py).

    Mean of sp(u) - ln 2 over the N (N - 1) pairs of different images and all locations, minus the
    mean of ln 2 - sp(-u) over the N images with themselves and all locations; sp is softplus, u a
    dot product.

    Args:
        local: (N, L, D), N >= 2; not normalised.
        summary: (N, D); not normalised.

    Returns:
        A scalar of at least -2 ln 2; 0 for zero scores.
    """
    scores = pair_scores(local, summary)
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    positive = math.log(2) - F.softplus(-scores[same])
    negative = F.softplus(scores[~same]) - math.log(2)
    return negative.mean() - positive.mean()


def dim_infonce_loss(local: Tensor, summary: Tensor) -> Tensor:
    """InfoNCE form of the local objective (rdevon/DIM: cortex_DIM/functions/dim_losses.py).

    For every image and location the cross-entropy of its own score against those of the image's
    summary with all locations of all other images. The official code gives the image's own
    locations a score of -10 among the negatives, here they are left out.

    Args:
        local: (N, L, D), N >= 2; not normalised.
        summary: (N, D); not normalised.

    Returns:
        Mean over images and locations, a scalar > 0; ln(1 + (N - 1) L) for equal scores.
    """
    scores = pair_scores(local, summary)
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    negative_mass = scores.masked_fill(same[:, :, None], -torch.inf).flatten(1).logsumexp(1)
    return F.softplus(negative_mass[:, None] - scores[same]).mean()


def prior_losses(
    discriminator: nn.Module, prior: Tensor, summary: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Adversarial matching of summaries to a prior (Hjelm et al. 2019, section 3.3).

    Args:
        discriminator: from (N, D) to logits (N, 1) of being drawn from the prior.
        prior: draws from the prior, (N, D).
        summary: (N, D), in the range of the prior.
        penalty: weight of the mean squared norm of the discriminator's gradient at both.

    Returns:
        The discriminator's loss, from which no gradient flows into `summary`, and the encoder's
        (non-saturating: it wants its summaries taken for draws); two scalars >= 0.
    """
    samples = torch.cat([prior, summary.detach()]).requires_grad_()
    logits = discriminator(samples)
    drawn, encoded = logits.chunk(2)
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    loss = F.softplus(-drawn).mean() + F.softplus(encoded).mean()
    loss = loss + penalty * gradient.square().sum(1).mean()
    return loss, F.softplus(-discriminator(summary)).mean()


class ScoreNetwork(nn.Module):
    """Residual network on single vectors (..., C) -> (..., units), the 1x1 convolutions of DIM:
    two layers beside a linear shortcut that starts as a noisy copy, then layer norm."""

    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.block = mlp((in_features, units, units), hidden_bias=False)
        self.shortcut = nn.Linear(in_features, units, bias=False)
        self.norm = nn.LayerNorm(units)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw initial weights: the block's as torch does, the shortcut's as a noisy copy."""
        for layer in self.block:
            if isinstance(layer, nn.Linear | nn.BatchNorm1d):
                layer.reset_parameters()
        nn.init.uniform_(self.shortcut.weight, -0.01, 0.01)
        self.shortcut.weight.fill_diagonal_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)
        return self.norm(self.block(flat) + self.shortcut(flat)).unflatten(0, x.shape[:-1])


class DIM(Method):
    """DIM(L) with our AlexNet: conv3's map holds the local features, the summary is a linear layer
    on fc7.

    The row that the paper quotes is DIM's own network with a probe of one hidden layer, without
    augmentation; this one shares backbone, crops and linear probe with all other rows.

    `own` is rdevon/DIM's recipe: no augmentation, batch 64, Adam 1e-4; its 1000 epochs are the
    grid's to ask for.
    """

    name = "dim"
    crops = 1
    presets: ClassVar = {
        "own": {
            "augmentation": "none",
            "batch_size": 64,
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "schedule": "constant",
            "projector_hidden": 2048,
        }
    }

    class Hyper(Frozen):
        """Hyper-parameters of DIM."""

        objective: Literal["jsd", "infonce"] = Field(
            "jsd", description="form of the local objective; jsd: the quoted row's"
        )
        feature_dim: int = Field(64, ge=1, description="width of the summary; DIM")
        projector_hidden: int = Field(
            2048, ge=1, description="units of the two networks before the score; DIM"
        )
        prior_weight: float = Field(
            0.1, ge=0, description="weight of matching the uniform prior; DIM(L)"
        )
        prior_penalty: float = Field(
            1.0, ge=0, description="weight of the discriminator's gradient penalty; DIM"
        )

    @classmethod
    def check(cls, spec: TrialSpec, hyper: Hyper) -> None:
        if spec.backbone != "alexnet":
            raise UserError(
                f"{spec.method} takes local features from AlexNet's {LOCAL_STAGE}: backbone "
                f"{spec.backbone} has none; use alexnet"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        h = self.hyper
        convolution = self.alexnet.get_submodule(f"stages.{LOCAL_STAGE}.0")
        assert isinstance(convolution, nn.Conv2d)
        self.summary = nn.Linear(self.out_features, h.feature_dim)
        self.local_score = ScoreNetwork(convolution.out_channels, h.projector_hidden)
        self.summary_score = ScoreNetwork(h.feature_dim, h.projector_hidden)
        self.discriminator = mlp((h.feature_dim, 1000, 200, 1), batch_norm=False)

    @property
    def alexnet(self) -> AlexNet:
        """The encoder."""
        assert isinstance(self.encoder, AlexNet)
        return self.encoder

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        others = [p for n, p in self.named_parameters() if not n.startswith("discriminator.")]
        return {
            "encoder": build_optimizer(others, self.spec),
            "prior": build_optimizer(self.discriminator.parameters(), self.spec),
        }

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        h = self.hyper
        (view,) = self.spec.views
        with self.autocast():
            found = self.alexnet.activations(batch.views((view,))[view], LOCAL_STAGE, "fc7")
        summary = self.summary(found["fc7"].float())
        local = found[LOCAL_STAGE].float().flatten(2).mT  # (N, locations, channels)
        loss = dim_jsd_loss if h.objective == "jsd" else dim_infonce_loss
        information = loss(self.local_score(local), self.summary_score(summary))
        draws = torch.rand(summary.shape, generator=batch.draws("prior")).to(summary.device)
        discriminator_loss, encoder_loss = prior_losses(
            self.discriminator, draws, summary.sigmoid(), h.prior_penalty
        )
        losses = {
            "encoder": information + h.prior_weight * encoder_loss,
            "prior": discriminator_loss,
        }
        gradients = {
            name: torch.autograd.grad(loss, trained_by(self.optimizers[name]))
            for name, loss in losses.items()
        }
        for name, optimizer in self.optimizers.items():
            apply_gradient(optimizer, gradients[name])
        return {
            "loss": information.detach(),
            "prior_loss": encoder_loss.detach(),
            "discriminator_loss": discriminator_loss.detach(),
        }
