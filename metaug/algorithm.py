"""MetAug (Li et al., ICML 2022) and its ablations, as methods.

Every image is seen in several colour views, one encoder and projection head each. For each ordered
pair of views (anchor, target) an image has one positive and `negatives` negatives, rows of the
target's memory bank. The unified loss pools the pairs of all directions; MAGs turn features into
augmented features, which enter a second, lightly weighted loss; and the MAGs learn by a
second-order look-ahead through the encoders (`metaug.meta`).

Two variants: `published` (the paper's text) and `released` (what jiangmengli/metaug computes, with
its crashes fixed). Where they differ, a hyper-parameter says which; `VARIANTS` lists their values.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn, optim
from torch.func import functional_call
from torch.nn import functional as F

from metaug.data.views import make_views
from metaug.errors import UserError
from metaug.losses import (
    MarginSize,
    margin_regularization,
    margins,
    oucl_exponents,
    similarity,
    softplus,
    unified_exponents,
    weighted_oucl_exponents,
)
from metaug.memory_bank import BankStart, MemoryBank
from metaug.meta import (
    InnerGradient,
    MetaGradient,
    Order,
    frozen_running_statistics,
    inner_gradient,
    meta_gradient,
)
from metaug.method import Batch, DataShape, Method
from metaug.models.generator import MAG
from metaug.models.heads import linear_head
from metaug.optimizers import adam, build_optimizer, sgd
from metaug.spec import Frozen, TrialSpec

Features = tuple[Tensor, ...]
DIAGNOSTIC_PERIOD = 20
"""Steps between two measurements of the augmented loss's share of the encoders' gradient."""

VARIANTS: dict[str, dict[str, Any]] = {
    "published": {
        "loss": "oucl",
        "gamma": 0.40,
        "margin": 0.0,
        "prefix": "inverse_beta",
        "negatives": 4096,
        "inner_learning_rate": None,
        "update_order": "per_pass",
        "margin_in_encoder_step": False,
        "margin_in_look_ahead": False,
        "margin_scope": "batch",
        "margin_gradient": False,
        "margin_positive_weight": 1.0,
        "margin_pairs": "mixed",
        "margin_originals": "first",
        "augmented_loss": "pooled",
        "bank_updates": "once",
        "redraw_negatives": False,
        "mag_running_statistics": False,
        "mag_probe_mode": "eval",
    },
    "released": {
        "loss": "unified",
        "gamma": 0.25,
        "margin": 0.0,
        "prefix": "one",
        "negatives": 1024,
        "inner_learning_rate": 1e-3,
        "update_order": "alternating",
        "margin_in_encoder_step": True,
        "margin_in_look_ahead": True,
        "margin_scope": "sample",
        "margin_gradient": True,
        "margin_positive_weight": 1e-4,
        "margin_pairs": "released",
        "margin_originals": "overwritten",
        "augmented_loss": "four",
        "bank_updates": "every_evaluation",
        "redraw_negatives": True,
        "mag_running_statistics": True,
        "mag_probe_mode": "train",
    },
}
"""Values of the hyper-parameters on which paper and code disagree."""


class UnifiedHyper(Frozen):
    """Hyper-parameters of the loss on original features."""

    variant: Literal["published", "released"] = "published"
    """The paper's text, or what the released code computes; gives the defaults `by variant`."""
    loss: Literal["oucl", "unified", "weighted", "contrastive"]
    """`oucl`: Eq. 10; `unified`: Eq. 8, no weights Γ; `weighted`: Eq. 9 with Γ / `decay`;
    `contrastive`: softmax cross-entropy of each direction, summed (Eq. 1 as in CMC). That the
    paper's tables are made with Eq. 10, rather than 9, is a (choice); the release has Eq. 8."""
    beta: float = Field(16.0, gt=0)
    """Inverse temperature; the release's (choice: the paper tries 2 to 256 and does not say which
    it took)."""
    gamma: float = Field(ge=0)
    """Margin of Eq. 9 and 10: 0.40 in the paper, 0.25 in the release."""
    margin: float
    """λ of Eq. 8; 0 as the release has it by default (choice: the paper gives no value)."""
    decay: float = Field(1.0, gt=0)
    """φ_dec of section 4.4; that it divides Γ is a (choice), the formula was lost."""
    detach_weights: bool = False
    """Treat Γ as a constant, as circle loss does. Eq. 10 follows from Eq. 9 in value whichever it
    is, in gradient only without it (choice: the paper does not say)."""
    temperature: float = Field(0.07, gt=0)
    """Of the `contrastive` loss; CMC's (choice: the paper does not say)."""
    prefix: Literal["inverse_beta", "one"]
    """Factor before the logarithm: 1/β as in the paper, or 1 as 16/γ_c in the release."""
    similarity: Literal["shifted", "clamped"] = "shifted"
    """From cosine to [0, 1]: (1 + cos) / 2 as in the release, or max(cos, 0) (choice: the paper
    does not say)."""
    pool: Literal["sample", "batch"] = "sample"
    """Over which pairs the double sum runs: those of one image as in the release, or of the whole
    mini-batch (choice: the paper speaks of the mini-batch's pairs and does not say more)."""
    positives: Literal["bank", "batch"] = "bank"
    """What the anchor is compared with: the target's memory bank row, as in CMC and in the release,
    or its current feature (choice: the paper does not say). With `batch` the encoders can tell
    positives from negatives by age alone: at `lite` they outran the bank, and collapsed when the
    learning rate fell (conv probe 44 % on CIFAR-10, 56 % with `bank`, 46 % untrained)."""
    negatives: int = Field(ge=1)
    """Bank rows drawn for an evaluation of the loss: 4096 in the paper, 1024 in the release."""
    redraw_negatives: bool
    """Draw negatives anew for every augmented combination, as the release does, not once for an
    evaluation (choice: the paper does not say)."""
    exclude_own: bool = False
    """Leave an image's own bank row out of its negatives; the release does not (choice: the paper
    does not say)."""
    feature_dim: int = Field(128, ge=1)
    """Width of the embedding; release."""
    bank_momentum: float = Field(0.5, ge=0, le=1)
    """Share of a bank row that an update keeps; release."""
    bank_start: BankStart = "data"
    bank_updates: Literal["once", "every_evaluation"]
    """Once an iteration, after all losses (choice: the paper does not say); or, as in the release,
    whenever the original pairs were scored."""

    @model_validator(mode="before")
    @classmethod
    def _fill_variant(cls, values: Any) -> Any:
        variant = VARIANTS.get(values.get("variant", "published"), {})
        known = {key: value for key, value in variant.items() if key in cls.model_fields}
        return {**known, **values}


class MetAugHyper(UnifiedHyper):
    """Hyper-parameters of MetAug."""

    alpha: float = Field(1e-11, ge=0)
    """Weight of the margin regularisation R_sigma in the meta objective, 0 leaves it out; the
    release's (choice: the paper tries 1e-3 to 1e-17 and does not say which it took)."""
    delta: float = Field(1e-5, ge=0)
    """Weight of the loss with augmented features; the paper's best (Table 5), and the release's."""
    augmented_loss: Literal["pooled", "four"]
    """One loss over original and augmented pairs as in the paper, or the release's sum of four:
    each view, and all views, replaced by augmented features."""
    detach_features: bool = False
    """Cut the path from augmented features through the MAGs into the encoders; the release keeps it
    (choice: the paper does not say)."""
    order: Order = "exact"
    """Of the meta gradient: `exact`, that of the paper (Eq. 3 and 6) and of the release;
    `first_order`, the look-ahead weights taken as constants; `none`, no look-ahead."""
    look_ahead: Literal["encoder", "mag"] = "encoder"
    """Whose fast weights the MAGs are judged with: the encoders' (paper, Eq. 3), or the MAGs' own
    as in the release's earlier code."""
    update_order: Literal["per_pass", "alternating", "simultaneous"]
    """`per_pass`: one pass over the data for the encoders, then one for the MAGs (the paper's
    Algorithm 1); `alternating`: both on every batch, the MAGs after the encoders (the release);
    `simultaneous`: both from the same weights, sharing the encoders' forward and backward pass."""
    inner_learning_rate: float | None = Field(ge=0)
    """ℓ of the look-ahead; None: the encoders' current rate, as in the paper; 0.001 in the
    release."""
    mag_hidden: int | None = Field(None, ge=1)
    """Hidden width of the MAGs; None: the release's 2048 times the width of the spec."""
    mag_optimizer: Literal["sgd", "adam"] = "sgd"
    """Of the MAGs; release."""
    mag_learning_rate: float = Field(0.03, gt=0)
    """Never decayed; release (the paper's ℓ' is not stated)."""
    mag_weight_decay: float = Field(1e-4, ge=0)
    """Release; it can outweigh gradients scaled by delta, so the norms of both are logged."""
    mag_gradient_scale: Literal["scaled", "unscaled"] = "scaled"
    """The meta objective as the paper and the release have it, or divided by delta."""
    mag_running_statistics: bool
    """Let the encoder step move the MAGs' running statistics of batch normalisation, as the release
    does (choice: the paper does not say)."""
    mag_probe_mode: Literal["eval", "train"]
    """Batch-norm mode of the MAGs when augmented features are probed; `train` in the release
    (choice: the paper does not say)."""
    margin_size: MarginSize = "large"
    """Which margins of Eq. 4; the paper's best (Figure 5)."""
    margin_in_encoder_step: bool
    """Add R_sigma to the encoders' loss, as the release does."""
    margin_in_look_ahead: bool
    """Add R_sigma to the loss of the look-ahead step, as the release does."""
    margin_scope: Literal["batch", "sample"]
    """Over which pairs the margins' minimum and maximum run: those of the mini-batch as in the
    paper, or of an image as in the release."""
    margin_gradient: bool
    """Let gradients flow through the margins, as the release does (choice: the paper does not
    say)."""
    margin_positive_weight: float = Field(ge=0)
    """Weight of the positive part of R_sigma: 1 in the paper, 1e-4 in the release."""
    margin_pairs: Literal["mixed", "released"]
    """Pairs with an augmented anchor, as in the paper; or the release's twelve groups, six without
    one."""
    margin_originals: Literal["first", "overwritten"]
    """Which scores of original pairs give the margins: those of the first call (choice: the paper
    knows one), or those that the release's later calls overwrite them with."""


class PairScores:
    """Cosines between anchors and targets under one draw of negatives, computed when asked for.

    Args:
        features: unit-norm features (N, D) by view.
        augmented: their augmented counterparts by view; empty without MAGs.
        own: bank rows of the batch's images by view, (N, D); None where positives are taken from
            the batch.
        negatives: bank rows (K, D) by view.
        excluded: (N, K) mask of negatives to leave out, or None.
    """

    def __init__(
        self,
        features: Mapping[str, Tensor],
        augmented: Mapping[str, Tensor],
        own: Mapping[str, Tensor] | None,
        negatives: Mapping[str, Tensor],
        excluded: Tensor | None,
    ) -> None:
        self.features = {False: features, True: augmented}
        self.own = own
        self.rows = negatives
        self.excluded = excluded
        self._cosines: dict[tuple[str, bool, str], Tensor] = {}
        self._masses: dict[tuple[str, bool, str], Tensor] = {}

    def positive(self, anchor: str, anchor_aug: bool, target: str, target_aug: bool) -> Tensor:
        """Cosine of each image's anchor with its own target, (N,)."""
        other = self.features[target_aug][target] if self.own is None else self.own[target]
        return (self.features[anchor_aug][anchor] * other).sum(1)

    def negative(self, anchor: str, anchor_aug: bool, target: str) -> Tensor:
        """Cosines of each image's anchor with the negatives of the target view, (N, K)."""
        key = (anchor, anchor_aug, target)
        if key not in self._cosines:
            self._cosines[key] = self.features[anchor_aug][anchor] @ self.rows[target].T
        return self._cosines[key]

    def kept(self, values: Tensor) -> Tensor:
        """Those of (N, K) values that belong to negatives which are not left out, flattened."""
        return values.flatten() if self.excluded is None else values[~self.excluded]

    def highest_negative(self, anchor: str, target: str) -> Tensor:
        """Cosine of each image's original anchor with its closest negative, (N,)."""
        values = self.negative(anchor, False, target)
        if self.excluded is not None:
            values = values.masked_fill(self.excluded, -torch.inf)
        return values.amax(1)

    def negative_mass(
        self, anchor: str, anchor_aug: bool, target: str, exponent: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Log sum exp of the negatives' exponents, (N,)."""
        key = (anchor, anchor_aug, target)
        if key not in self._masses:
            values = exponent(self.negative(*key))
            if self.excluded is not None:
                values = values.masked_fill(self.excluded, -torch.inf)
            self._masses[key] = values.logsumexp(1)
        return self._masses[key]


class MetAugOUCL(Method):
    """MetAug (only OUCL): the unified loss on original features, no MAGs (paper, section 3.3)."""

    name = "metaug_oucl"
    default_views = ("rgb", "l", "ab")
    crops = 1
    Hyper: ClassVar[type[UnifiedHyper]] = UnifiedHyper  # type: ignore[assignment,misc]

    @classmethod
    def views_of(cls, hyper: UnifiedHyper) -> tuple[str, ...]:
        """The paper's third view is RGB, the release's all of Lab."""
        return ("rgb" if hyper.variant == "published" else "lab", "l", "ab")

    @classmethod
    def check(cls, spec: TrialSpec) -> None:
        if len(spec.views) < 2:
            raise UserError(
                f"{spec.method} contrasts views: give it at least two, not {spec.views}"
            )

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        dim = self.hyper.feature_dim
        self.projectors = nn.ModuleDict(
            {view: linear_head(self.out_features, dim) for view in spec.views}
        )
        self.bank = MemoryBank(spec.views, data.images, dim, self.hyper.bank_momentum)
        self.directions = tuple(permutations(spec.views, 2))

    def forward(self, views: Mapping[str, Tensor]) -> Features:
        """Unit-norm features (N, D) of each view, in the order of the spec's views."""
        with self.autocast():
            hidden = [self.encoders[view](views[view]) for view in self.spec.views]
        return tuple(
            F.normalize(self.projectors[view](h.to(self.projectors[view].weight.dtype)), dim=1)
            for view, h in zip(self.spec.views, hidden, strict=True)
        )

    def warm_up(self, batches: Iterable[Batch]) -> None:
        if self.hyper.bank_start == "data":
            with torch.no_grad(), frozen_running_statistics(self):
                for batch in batches:
                    features = self(batch.views(self.spec.views))
                    self.bank.fill(
                        [(batch.index, dict(zip(self.spec.views, features, strict=True)))]
                    )

    def training_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        features = self(batch.views(self.spec.views))
        scores = self.scores(features, {}, batch)
        self.update_bank(features, batch)
        return self.pair_loss(scores, frozenset()), {}

    def scores(
        self, features: Features, augmented: Mapping[str, Tensor], batch: Batch
    ) -> PairScores:
        """Scores of the batch under a new draw of negatives."""
        drawn = self.bank.draw(self.hyper.negatives, batch.draws("negatives"))
        from_bank = self.hyper.positives == "bank"
        return PairScores(
            dict(zip(self.spec.views, features, strict=True)),
            augmented,
            {v: self.bank.read(v, batch.index) for v in self.spec.views} if from_bank else None,
            {v: self.bank.read(v, drawn) for v in self.spec.views},
            drawn[None, :] == batch.index[:, None] if self.hyper.exclude_own else None,
        )

    def update_bank(self, features: Features, batch: Batch) -> None:
        """Blend the batch's features into the memory bank."""
        for view, z in zip(self.spec.views, features, strict=True):
            self.bank.update(view, batch.index, z.detach())

    def exponents(self, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """Exponents of cosines under the loss of the spec, elementwise; each side by itself."""
        h = self.hyper
        if h.loss == "contrastive":
            return -positive / h.temperature, negative / h.temperature
        pair = similarity(positive, h.similarity), similarity(negative, h.similarity)
        if h.loss == "oucl":
            return oucl_exponents(*pair, beta=h.beta, gamma=h.gamma)
        if h.loss == "unified":
            return unified_exponents(*pair, beta=h.beta, margin=h.margin)
        return weighted_oucl_exponents(
            *pair, beta=h.beta, gamma=h.gamma, decay=h.decay, detach=h.detach_weights
        )

    def pair_loss(self, scores: PairScores, replaced: frozenset[str]) -> Tensor:
        """Loss over all directions with the views in `replaced` given by augmented features."""
        return self._loss_over(
            scores, [(a, a in replaced, t, t in replaced) for a, t in self.directions]
        )

    def _loss_over(self, scores: PairScores, pairs: list[tuple[str, bool, str, bool]]) -> Tensor:
        """Loss over positive pairs (anchor, is it augmented, target, is it augmented) and the
        negatives of their anchors."""
        h = self.hyper
        cosines = torch.stack([scores.positive(*pair) for pair in pairs], 1)
        positive = self.exponents(cosines, cosines[:0])[0]
        anchors = [pair[:3] for pair in pairs]
        if h.loss != "contrastive":
            anchors = list(dict.fromkeys(anchors))
        negative = torch.stack(
            [scores.negative_mass(*key, lambda c: self.exponents(c[:0], c)[1]) for key in anchors],
            1,
        )
        if h.loss == "contrastive":
            return softplus(positive + negative).sum(1).mean()
        if h.pool == "batch":
            log_mass = positive.flatten().logsumexp(0) + negative.flatten().logsumexp(0)
        else:
            log_mass = positive.logsumexp(1) + negative.logsumexp(1)
        loss = softplus(log_mass).mean()
        return loss / h.beta if h.prefix == "inverse_beta" else loss

    def summaries(self, images: Tensor, generator: torch.Generator) -> dict[str, dict[str, float]]:
        features = dict(
            zip(self.spec.views, self(make_views(images, self.spec.views)), strict=True)
        )
        return self._similarity_summaries("original", features)

    def _similarity_summaries(
        self, kind: str, features: Mapping[str, Tensor]
    ) -> dict[str, dict[str, float]]:
        """Mean and histogram (50 bins on [0, 1], share of pairs) of pair similarities.

        Pairs join features of different views; positives are of the same image.
        """
        found: dict[str, list[Tensor]] = {"positive": [], "negative": []}
        names = list(features)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                if a.removesuffix("~") == b.removesuffix("~"):
                    continue
                values = similarity(features[a] @ features[b].T, self.hyper.similarity)
                same = torch.eye(len(values), dtype=torch.bool, device=values.device)
                found["positive"].append(values[same])
                found["negative"].append(values[~same])
        summary = {}
        for sign, parts in found.items():
            # rounding carries cosines past 1, where the histogram would lose them
            values = torch.cat(parts).float().cpu().clamp(0, 1)
            counts = torch.histc(values, bins=50, min=0, max=1) / len(values)
            summary[f"features={kind};pairs={sign}"] = {
                "mean_similarity": float(values.mean()),
                **{f"histogram_{i:02d}": float(share) for i, share in enumerate(counts)},
            }
        return summary


class MetAug(MetAugOUCL):
    """MetAug: OUCL on original features plus MAGs that learn by look-ahead (Algorithm 1)."""

    name = "metaug"
    Hyper: ClassVar[type[MetAugHyper]] = MetAugHyper  # type: ignore[assignment,misc]

    @classmethod
    def check(cls, spec: TrialSpec) -> None:
        super().check(spec)
        h = MetAugHyper.model_validate(spec.hyper)
        if h.update_order == "simultaneous" and h.margin_in_encoder_step != h.margin_in_look_ahead:
            raise UserError(
                f"{spec.method}: update_order=simultaneous shares one loss between encoder step "
                "and look-ahead; set margin_in_encoder_step and margin_in_look_ahead alike"
            )
        if h.mag_gradient_scale == "unscaled" and h.delta == 0:
            raise UserError(f"{spec.method}: mag_gradient_scale=unscaled divides by delta = 0")

    def __init__(self, spec: TrialSpec, data: DataShape) -> None:
        super().__init__(spec, data)
        hidden = self.hyper.mag_hidden or max(1, round(2048 * spec.width))
        self.mags = nn.ModuleDict({v: MAG(self.hyper.feature_dim, hidden) for v in spec.views})
        self.passes = 2 if self.hyper.update_order == "per_pass" else 1

    def encoder_parameters(self) -> dict[str, nn.Parameter]:
        """θ: parameters of encoders and projection heads, by name."""
        return {n: p for n, p in self.named_parameters() if not n.startswith("mags.")}

    def build_optimizers(self) -> dict[str, optim.Optimizer]:
        h = self.hyper
        build = sgd if h.mag_optimizer == "sgd" else adam
        return {
            "encoder": build_optimizer(self.encoder_parameters().values(), self.spec),
            "mag": build(
                self.mags.parameters(),
                h.mag_learning_rate,
                weight_decay=h.mag_weight_decay,
                scheduled=False,
            ),
        }

    def augmented(self, features: Features) -> dict[str, Tensor]:
        """Augmented features of every view by the MAGs."""
        detach = self.hyper.detach_features
        return {
            view: self.mags[view](z.detach() if detach else z)
            for view, z in zip(self.spec.views, features, strict=True)
        }

    def objective_terms(
        self,
        features: Features,
        augmented: Mapping[str, Tensor],
        batch: Batch,
        *,
        regularised: bool,
    ) -> dict[str, Tensor]:
        """The weighted parts of the objective: L_ori, delta L_aug and, if asked for, alpha R."""
        h = self.hyper
        scores = self.scores(features, augmented, batch)
        terms = {"original": self.pair_loss(scores, frozenset())}
        if h.bank_updates == "every_evaluation":
            self.update_bank(features, batch)

        def call() -> PairScores:
            return self.scores(features, augmented, batch) if h.redraw_negatives else scores

        single = {view: call() for view in self.spec.views}
        if h.augmented_loss == "four":
            everything = call()
            loss = self.pair_loss(everything, frozenset(self.spec.views))
            for view, scores_of_view in single.items():
                loss = loss + self.pair_loss(scores_of_view, frozenset({view}))
        else:
            flags = (False, True)
            # a bank row is a target of one kind only
            targets = flags if h.positives == "batch" else (False,)
            loss = self._loss_over(
                scores, [(a, x, t, y) for a, t in self.directions for x in flags for y in targets]
            )
        terms["augmented"] = h.delta * loss
        if regularised and h.alpha > 0:
            terms["margin"] = h.alpha * self._regularization(scores, single)
        return terms

    def _regularization(self, scores: PairScores, single: Mapping[str, PairScores]) -> Tensor:
        """R_sigma (Eq. 5) with the margins of Eq. 4."""
        h = self.hyper
        originals = dict.fromkeys(self.spec.views, scores)
        if h.margin_originals == "overwritten":
            for view, scores_of_view in single.items():
                originals |= {a: scores_of_view for a in self.spec.views if a != view}
        positives = torch.stack(
            [originals[a].positive(a, False, t, False) for a, t in self.directions], 1
        )
        highest = torch.stack([originals[a].highest_negative(a, t) for a, t in self.directions], 1)
        if h.margin_scope == "batch":
            positives, highest = positives.flatten(), highest.flatten()
        sigma_pos, sigma_neg = margins(
            similarity(positives, h.similarity), similarity(highest, h.similarity), h.margin_size
        )
        if not h.margin_gradient:
            sigma_pos, sigma_neg = sigma_pos.detach(), sigma_neg.detach()
        groups = [(single[a], a, True, t, False) for a, t in self.directions]
        if h.margin_pairs == "released":
            groups += [(single[t], a, False, t, True) for a, t in self.directions]
        augmented_positives = torch.stack([s.positive(a, x, t, y) for s, a, x, t, y in groups])
        augmented_negatives = torch.cat([s.kept(s.negative(a, x, t)) for s, a, x, t, _ in groups])
        if sigma_neg.ndim:  # one margin for each image: repeat it for the image's negatives
            each = sigma_neg[:, None].expand(-1, h.negatives)
            sigma_neg = torch.cat([s.kept(each) for s, *_ in groups])
        return margin_regularization(
            similarity(augmented_positives, h.similarity),
            similarity(augmented_negatives, h.similarity),
            sigma_pos,
            sigma_neg,
            positive_weight=h.margin_positive_weight,
        )

    def objective(self, features: Features, batch: Batch, *, regularised: bool) -> Tensor:
        """L_ori + delta L_aug (Eq. 11), plus alpha R_sigma if `regularised`."""
        augmented = self.augmented(features)
        terms = self.objective_terms(features, augmented, batch, regularised=regularised)
        return torch.stack(list(terms.values())).sum()

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        views = batch.views(self.spec.views)
        h = self.hyper
        logs: dict[str, Tensor | float]
        if h.update_order == "per_pass":
            if batch.pass_index == 0:
                logs, features, _ = self._encoder_step(views, batch)
            else:
                logs, features = self._mag_step(views, batch)
        elif h.update_order == "alternating":
            logs, features, _ = self._encoder_step(views, batch)
            mag_logs, features = self._mag_step(views, batch)
            logs |= mag_logs
        else:
            logs, features, inner = self._encoder_gradient(views, batch, share=True)
            mag_gradient = self._mag_gradient(views, features, batch, inner)
            self._step("encoder", inner.parameters)
            logs |= self._apply_to_mags(mag_gradient)
        if h.bank_updates == "once":
            self.update_bank(features, batch)
        return logs

    def _encoder_step(
        self, views: Mapping[str, Tensor], batch: Batch
    ) -> tuple[dict[str, Tensor | float], Features, InnerGradient]:
        logs, features, inner = self._encoder_gradient(views, batch, share=False)
        self._step("encoder", inner.parameters)
        return logs, features, inner

    def _encoder_gradient(
        self, views: Mapping[str, Tensor], batch: Batch, *, share: bool
    ) -> tuple[dict[str, Tensor | float], Features, InnerGradient]:
        """Gradient of the encoders' loss; with `share` it serves the look-ahead too."""
        h = self.hyper
        features = self(views)
        parameters = list(self.encoder_parameters().values())
        frozen = [] if h.mag_running_statistics else [self.mags]
        with frozen_running_statistics(*frozen):
            loss, inner = inner_gradient(
                features,
                lambda z: self.objective(z, batch, regularised=h.margin_in_encoder_step),
                parameters,
                create_graph=share and h.order == "exact",
            )
        logs: dict[str, Tensor | float] = {"loss": loss}
        if batch.step % DIAGNOSTIC_PERIOD == 0:
            logs["augmented_gradient_share"] = self._augmented_share(features, batch)
        return logs, tuple(z.detach() for z in features), inner

    def _augmented_share(self, features: Features, batch: Batch) -> Tensor:
        """Norm of the feature gradient of delta L_aug over that of L_ori plus it, in [0, 1].

        Whatever this changes is put back: looking does not change the training.
        """
        leaves = tuple(z.detach().requires_grad_() for z in features)
        bank = {name: buffer.clone() for name, buffer in self.bank.named_buffers()}
        with frozen_running_statistics(self.mags):
            terms = self.objective_terms(leaves, self.augmented(leaves), batch, regularised=False)
        norms = [
            torch.nn.utils.get_total_norm(
                torch.autograd.grad(terms[name], leaves, retain_graph=True)
            )
            for name in ("original", "augmented")
        ]
        self.bank.load_state_dict(bank)
        return norms[1] / (norms[0] + norms[1]).clamp(min=1e-38)

    def _mag_step(
        self, views: Mapping[str, Tensor], batch: Batch
    ) -> tuple[dict[str, Tensor | float], Features]:
        """Look-ahead from the current encoders and step of the MAGs."""
        h = self.hyper
        through_encoder = h.look_ahead == "encoder"
        with torch.set_grad_enabled(through_encoder):
            features = self(views)
        inner = None
        if through_encoder:
            _, inner = inner_gradient(
                features,
                lambda z: self.objective(z, batch, regularised=h.margin_in_look_ahead),
                list(self.encoder_parameters().values()),
                create_graph=h.order == "exact",
            )
        features = tuple(z.detach() for z in features)
        return self._apply_to_mags(self._mag_gradient(views, features, batch, inner)), features

    def _mag_gradient(
        self,
        views: Mapping[str, Tensor],
        features: Features,
        batch: Batch,
        inner: InnerGradient | None,
    ) -> MetaGradient:
        """Gradient of the MAGs; `features` and `inner` belong to the current encoders."""
        h = self.hyper
        rate = h.inner_learning_rate
        if rate is None:
            rate = self.optimizers["encoder"].param_groups[0]["lr"]
        if h.look_ahead == "mag":
            return self._own_look_ahead_gradient(features, batch, rate)
        assert inner is not None
        with frozen_running_statistics(self.encoders):
            return meta_gradient(
                lambda parameters: functional_call(self, dict(parameters), (views,)),
                self.encoder_parameters(),
                inner,
                lambda z: self.objective(z, batch, regularised=True),
                list(self.mags.parameters()),
                inner_learning_rate=rate,
                order=h.order,
            )

    def _own_look_ahead_gradient(
        self, features: Features, batch: Batch, rate: float
    ) -> MetaGradient:
        """Gradient after a look-ahead step of the MAGs themselves, encoders fixed (the release's
        June 2022 code). All of it is direct: there is no path through the encoders."""
        h = self.hyper
        omega = dict(self.mags.named_parameters())
        inner = self.objective(features, batch, regularised=h.margin_in_look_ahead)
        exact = h.order == "exact"
        gradient = torch.autograd.grad(inner, list(omega.values()), create_graph=exact)
        step = 0.0 if h.order == "none" else rate
        ahead = {n: p - step * g for (n, p), g in zip(omega.items(), gradient, strict=True)}
        augmented = {
            view: functional_call(
                self.mags[view],
                {
                    n.removeprefix(f"{view}."): p
                    for n, p in ahead.items()
                    if n.startswith(f"{view}.")
                },
                (z,),
            )
            for view, z in zip(self.spec.views, features, strict=True)
        }
        terms = self.objective_terms(features, augmented, batch, regularised=True)
        loss = torch.stack(list(terms.values())).sum()
        total = torch.autograd.grad(loss, list(omega.values()))
        norm = torch.nn.utils.get_total_norm(total)
        return MetaGradient(total, norm, torch.zeros_like(norm), loss.detach())

    def _step(self, name: str, gradient: tuple[Tensor, ...]) -> None:
        optimizer = self.optimizers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _apply_to_mags(self, gradient: MetaGradient) -> dict[str, Tensor | float]:
        h = self.hyper
        scale = 1 / h.delta if h.mag_gradient_scale == "unscaled" else 1.0
        self._step("mag", tuple(g * scale for g in gradient.total))
        weights = [p.detach() for p in self.mags.parameters()]
        return {
            "meta_loss": gradient.loss,
            "mag_gradient_norm": scale * torch.nn.utils.get_total_norm(gradient.total),
            "mag_weight_norm": torch.nn.utils.get_total_norm(weights),
            "second_order_share": gradient.second_order_share,
        }

    def representation(self, images: Tensor) -> dict[str, Tensor]:
        """The encoders' layers, each also with the MAGs' outputs appended.

        Table 5 probes "with augmented features"; the paper does not say how they join the
        representation, the release appends them to the layer.
        """
        readouts = super().representation(images)
        self.mags.train(self.hyper.mag_probe_mode == "train")
        with frozen_running_statistics(self.mags):
            augmented = self.augmented(self(make_views(images, self.spec.views)))
        self.mags.eval()
        return readouts | {
            f"{name};features=with_augmented": torch.cat([features, *augmented.values()], 1)
            for name, features in readouts.items()
        }

    def summaries(self, images: Tensor, generator: torch.Generator) -> dict[str, dict[str, float]]:
        features = self(make_views(images, self.spec.views))
        original = dict(zip(self.spec.views, features, strict=True))
        augmented = {f"{view}~": z for view, z in self.augmented(features).items()}
        return self._similarity_summaries("original", original) | self._similarity_summaries(
            "with_augmented", original | augmented
        )


class MetAugMAG(MetAug):
    """MetAug (only MAG): MAGs with the conventional contrastive loss (paper, Table 6)."""

    name = "metaug_mag"

    class Hyper(MetAugHyper):  # type: ignore[misc]
        """As MetAug's, the loss being the conventional one."""

        @model_validator(mode="before")
        @classmethod
        def _conventional(cls, values: Any) -> Any:
            return {"loss": "contrastive", **values}
