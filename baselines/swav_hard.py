"""SwAV + Hard (MetAug, Table 2): no source defines it; the reading here is (choice)."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from baselines.debiased import TauPlus, class_prior
from baselines.hard import HardBeta, hard_negative_loss
from baselines.swav import SwAV
from metaug.method import Batch


class SwAVHard(SwAV):
    """SwAV plus the hard-negative loss between its two crops' embeddings (choice).

    The paper names the method and no source says what it is. Of the two readings that suggest
    themselves this one leaves SwAV's assignments alone; the other would weigh the prototypes that
    an image is not assigned to as its negatives. Nobody published a recipe.
    """

    name = "swav_hard"
    presets: ClassVar = {}

    class Hyper(SwAV.Hyper):
        """Hyper-parameters of SwAV + Hard."""

        hard_weight: float = Field(
            1.0, ge=0, description="weight of the hard-negative loss; (choice)"
        )
        hard_temperature: float = Field(
            0.5, gt=0, description="temperature of the hard-negative loss; joshr17/HCL"
        )
        tau_plus: TauPlus = None
        hard_beta: HardBeta = 1.0

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        h = self.hyper
        z1, z2 = self.embed(batch)
        swapped = self.swapped_prediction((z1, z2), batch)
        tau_plus = class_prior(h.tau_plus, self.data)
        hard = hard_negative_loss(z1, z2, h.hard_temperature, tau_plus, h.hard_beta)
        return swapped + h.hard_weight * hard, {"swapped_prediction": swapped.detach()}
