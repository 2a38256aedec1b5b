"""MetAug: only OUCL, plus generators of augmented features (MAGs) that learn by look-ahead."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn, optim

from metaug.algorithm.augmented import Calls, metaug_losses
from metaug.algorithm.discrepancies import RELEASE_RECIPE
from metaug.algorithm.generators import gradient_share, mag_movement, mag_optimizer
from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.oucl import Features, MetAugOUCL
from metaug.algorithm.pairs import augmented
from metaug.algorithm.readouts import similarity_summaries, with_augmented
from metaug.bilevel import Bilevel, EncoderGradient, Loss
from metaug.data.views import make_views
from metaug.ema import ema_update, momentum_copy
from metaug.errors import UserError
from metaug.meta import MetaGradient, frozen_running_statistics
from metaug.method import Batch, DataShape
from metaug.models.generator import MAG
from metaug.optimizers import apply_gradient
from metaug.spec import TrialSpec

Logs = dict[str, Tensor | float]

DIAGNOSTIC_PERIOD = 10
"""Steps between two measurements of the augmented loss's share of the encoders' gradient, and of
how far the MAGs have moved; a shorter pass over the images is measured once."""


class MetAug(MetAugOUCL):
    """MetAug: OUCL on original features plus MAGs that learn by look-ahead (Algorithm 1).

    In the `published` variant the pass that trains the MAGs changes nothing else. So with `delta` 0
    encoders, heads and bank are those of only OUCL, bit for bit.

    `own` is the whole recipe of the released code (jiangmengli/metaug), `RELEASE_RECIPE`.
    """

    name = "metaug"
    version = 2
    Hyper: ClassVar[type[MetAugHyper]] = MetAugHyper
    presets: ClassVar = {"own": RELEASE_RECIPE}

    @classmethod
    def check(cls, spec: TrialSpec, hyper: MetAugHyper) -> None:
        margins_differ = hyper.margin_in_encoder_step != hyper.margin_in_look_ahead
        if hyper.update_order == "simultaneous" and margins_differ:
            raise UserError(
                f"{spec.method}: update_order=simultaneous shares one loss between encoder step "
                "and look-ahead; set margin_in_encoder_step and margin_in_look_ahead alike"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        hidden = self.hyper.mag_hidden or max(1, round(2048 * spec.width))
        self.mags = nn.ModuleDict({v: MAG(self.hyper.feature_dim, hidden) for v in spec.views})
        self.initial_mags = momentum_copy(self.mags)
        self.passes = 2 if self.hyper.update_order == "per_pass" else 1

    def start(self) -> None:
        ema_update(self.initial_mags, self.mags, 0)

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        return super().build_optimizers() | {
            "mag": mag_optimizer(
                self.mags,
                self.hyper.mag_optimizer,
                self.hyper.mag_learning_rate,
                self.hyper.mag_weight_decay,
                self.spec,
            )
        }

    def augmented(self, features: Features) -> dict[str, Tensor]:
        """Augmented features of every view by the MAGs."""
        return {view: self.mags[view](z) for view, z in self.named(features).items()}

    def calls(self, features: Features, batch: Batch, purpose: str) -> Calls:
        """The bank rows that an evaluation of the objective on `features` reads.

        In the release the bank is updated between the call on original features and the others.
        """
        first = self.draw(batch, purpose)
        if self.hyper.bank_updates == "every_evaluation":
            self.update_bank(features, batch)
        others = (*self.spec.views, "all")
        if not self.hyper.redraw_negatives:
            return dict.fromkeys(("original", *others), first)
        return {"original": first} | {
            call: self.draw(batch, f"{purpose}, {call}") for call in others
        }

    def objective_terms(
        self, features: Features, calls: Calls, *, regularised: bool
    ) -> dict[str, Tensor]:
        """The weighted parts of the objective: L_ori, delta L_aug and, if asked for, alpha R.

        Parts of weight 0 are left out.
        """
        return metaug_losses(
            self.named(features),
            self.augmented(features),
            calls,
            self.hyper,
            self.pair_loss,
            regularised=regularised,
        )

    def objective(self, features: Features, calls: Calls, *, regularised: bool) -> Tensor:
        """L_ori + delta L_aug (Eq. 11), plus alpha R_sigma if `regularised`; changes nothing but
        the MAGs' running statistics."""
        terms = self.objective_terms(features, calls, regularised=regularised)
        return torch.stack(list(terms.values())).sum()

    def _is_measured(self, batch: Batch) -> bool:
        steps_of_pass = max(1, self.data.images // self.spec.batch_size)
        return batch.step % min(DIAGNOSTIC_PERIOD, steps_of_pass) == 0

    def update(self, batch: Batch) -> Logs:
        views = batch.views(self.spec.views)
        order = self.hyper.update_order
        if order == "per_pass" and batch.pass_index == 1:
            return self._mag_step(views, batch)
        logs, gradient = self._encoder_gradient(views, batch)
        mag_gradient = None
        if order == "simultaneous":
            mag_gradient = self._mag_gradient(views, batch, gradient)
        apply_gradient(self.optimizers["encoder"], gradient.inner.parameters)
        if mag_gradient is not None:
            logs |= self._apply_to_mags(*mag_gradient, batch)
        elif order == "alternating":
            logs |= self._mag_step(views, batch)
        if self.hyper.bank_updates == "once":
            self.update_bank(gradient.features, batch)
        return logs

    def bilevel(self) -> Bilevel:
        """Encoders and heads with their parameters, and the MAGs that they are trained with."""
        h = self.hyper
        rate = h.inner_learning_rate
        moving = {"mags": h.mag_running_statistics, "network": h.encoder_running_statistics}
        return Bilevel(
            self,
            self.encoder_parameters(),
            self.mags,
            self.optimizers["encoder"].param_groups[0]["lr"] if rate is None else rate,
            h.order,
            frozenset(name for name, moves in moving.items() if moves),
            self.average,
        )

    def _encoder_gradient(
        self, views: Mapping[str, Tensor], batch: Batch
    ) -> tuple[Logs, EncoderGradient]:
        """Gradient of the encoders' loss; a simultaneous update shares it with the look-ahead."""
        h = self.hyper
        calls: Calls = {}

        def loss_of(features: Features) -> Loss:
            nonlocal calls
            calls = self.calls(features, batch, "negatives")
            return partial(self.objective, calls=calls, regularised=h.margin_in_encoder_step)

        shared = h.update_order == "simultaneous"
        gradient = self.bilevel().encoder_gradient(views, loss_of, shared=shared)
        logs: Logs = {"loss": gradient.loss}
        if self._is_measured(batch):
            leaves = tuple(z.clone().requires_grad_() for z in gradient.features)
            with frozen_running_statistics(self.mags):
                terms = self.objective_terms(leaves, calls, regularised=False)
            logs["augmented_gradient_share"] = gradient_share(terms, leaves)
        return logs, gradient

    def _mag_step(self, views: Mapping[str, Tensor], batch: Batch) -> Logs:
        """Look-ahead from the current encoders and step of the MAGs."""
        return self._apply_to_mags(*self._mag_gradient(views, batch), batch)

    def _mag_gradient(
        self, views: Mapping[str, Tensor], batch: Batch, shared: EncoderGradient | None = None
    ) -> tuple[MetaGradient, Features]:
        """Gradient of the MAGs, and the features at the current weights. The look-ahead follows
        `shared`, which belongs to these weights, or else a gradient of its own."""

        def loss_of(purpose: str, regularised: bool, features: Features) -> Loss:
            calls = self.calls(features, batch, purpose)
            return partial(self.objective, calls=calls, regularised=regularised)

        inner = partial(loss_of, "negatives, inner", self.hyper.margin_in_look_ahead)
        outer = partial(loss_of, "negatives, outer", True)
        return self.bilevel().mag_gradient(views, outer, look_ahead=shared or inner)

    def _apply_to_mags(self, gradient: MetaGradient, features: Features, batch: Batch) -> Logs:
        apply_gradient(self.optimizers["mag"], gradient.total)
        logs: Logs = {
            "meta_loss": gradient.loss,
            "mag_gradient_norm": torch.nn.utils.get_total_norm(gradient.total),
            "second_order_share": gradient.second_order_share,
        }
        if self._is_measured(batch):
            logs |= mag_movement(self.mags, self.initial_mags, self.named(features))
        return logs

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        """The encoders' layers, and what Table 5 calls "with augmented features".

        In the paper the projection heads are kept then (appendix A.3): the read-out is z with the
        MAGs' outputs appended, beside which `projection`, z alone, is the control. In the release
        the MAGs' outputs are appended to a layer of the encoders.
        """
        readouts = super().representation(images)
        features = self(make_views(images, self.spec.views))
        self.mags.train(self.hyper.mag_probe_mode == "train")
        with frozen_running_statistics(self.mags):
            outputs = self.augmented(features)
        self.mags.eval()
        if self.hyper.augmented_readout == "layer":
            return readouts | with_augmented(readouts, outputs)
        projection = {"projection": torch.cat(features, 1)}
        return readouts | projection | with_augmented(projection, outputs)

    def summaries(self, images: Tensor, generator: torch.Generator) -> dict[str, dict[str, float]]:
        features = self(make_views(images, self.spec.views))
        original = self.named(features)
        generated = {augmented(view): z for view, z in self.augmented(features).items()}
        return similarity_summaries("original", original) | similarity_summaries(
            "with_augmented", original | generated
        )
