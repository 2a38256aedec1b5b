"""Hyper-parameters of MetAug and of only OUCL."""

from typing import Any, Literal

from pydantic import Field, model_validator

from metaug.algorithm.discrepancies import VARIANTS
from metaug.losses import MarginSize
from metaug.memory_bank import BankStart
from metaug.meta import Order
from metaug.spec import Frozen


class UnifiedHyper(Frozen):
    """Hyper-parameters of the loss on original features."""

    variant: Literal["published", "released"] = "published"
    """The paper's text, or what the released code computes: gives the defaults by variant."""
    loss: Literal["oucl", "unified", "weighted", "contrastive"]
    """`oucl`: Eq. 10; `unified`: Eq. 8, no weights Γ; `weighted`: Eq. 9 with Γ / `decay`;
    `contrastive`: softmax cross-entropy of each direction, summed (Eq. 1 as in CMC). That the
    paper's tables are made with Eq. 10, rather than 9, is a (choice); the release has Eq. 8."""
    beta: float = Field(16.0, gt=0)
    """Inverse temperature; the release's (choice: the paper tries 2 to 256 and does not say which
    it took)."""
    gamma: float = Field(ge=0)
    """Margin of Eq. 9 and 10: 0.40 in the paper, 0.25 in the release."""
    margin: float = 0.0
    """λ of Eq. 8; 0 as the release has it by default (choice: the paper gives no value)."""
    decay: float = Field(1.0, gt=0)
    """φ_dec of section 4.4. That it divides Γ is a (choice), because the formula is not legible in
    our copy of the paper."""
    temperature: float = Field(0.07, gt=0)
    """Of the `contrastive` loss; CMC's (choice: the paper does not say)."""
    prefix: Literal["inverse_beta", "one"]
    """Factor before the logarithm: 1/β as in the paper, or 1 as 16/γ_c in the release."""
    negatives: int = Field(ge=1)
    """Bank rows drawn for an evaluation of the loss: 4096 in the paper, 1024 in the release."""
    negatives_per: Literal["batch", "image"]
    """One draw of negatives for the whole batch, so that the scores are one matrix product
    (choice), or one for each image as in the release. Every image sees the same distribution
    either way, but one draw makes the images err together: on random features (64 images, 1,024 of
    10,000 rows, 128 dimensions, Eq. 10) the noise of the gradient's sum over the batch was 5.5
    times that of a draw for each image, and 6.9 times where all features share a direction."""
    redraw_negatives: bool
    """Draw negatives anew for every augmented combination, as the release does, not once for an
    evaluation (choice: the paper does not say). Only methods with MAGs have such combinations."""
    feature_dim: int = Field(128, ge=1)
    """Width of the embedding; release."""
    bank_momentum: float = Field(0.5, ge=0, le=1)
    """Share of a bank row that an update keeps; release."""
    bank_start: BankStart
    bank_updates: Literal["once", "every_evaluation"]
    """Once for each step of the encoders, after all losses (choice: the paper does not say); or, as
    in the release, whenever the original pairs were scored, in the pass of the MAGs too. Without
    MAGs the two are the same."""

    @model_validator(mode="before")
    @classmethod
    def _fill_variant(cls, values: Any) -> Any:
        name = values.get("variant", "published")
        variant = VARIANTS.get(name, {}) if isinstance(name, str) else {}
        known = {key: value for key, value in variant.items() if key in cls.model_fields}
        return {**known, **values}


class MetAugHyper(UnifiedHyper):
    """Hyper-parameters of MetAug."""

    alpha: float = Field(1e-11, ge=0)
    """Weight of the margin regularisation R_sigma in the meta objective, 0 leaves it out; the
    release's (choice: the paper tries 1e-3 to 1e-17 and does not say which it took)."""
    delta: float = Field(1e-5, ge=0)
    """Weight of the loss with augmented features, 0 leaves it out; the paper's best (Table 5), and
    the release's."""
    augmented_loss: Literal["pooled", "four"]
    """One loss over original and augmented pairs as in the paper, or the release's sum of four:
    each view, and all views, replaced by augmented features."""
    order: Order = "exact"
    """Of the meta gradient: `exact`, that of the paper (Eq. 3 and 6) and of the release;
    `first_order`, the look-ahead weights taken as constants; `none`, no look-ahead."""
    update_order: Literal["per_pass", "alternating", "simultaneous"]
    """`per_pass`: one pass over the data for the encoders, then one for the MAGs (the paper's
    Algorithm 1); `alternating`: both on every batch, the MAGs after the encoders (the release);
    `simultaneous`: both from the same weights, sharing the encoders' forward and backward pass."""
    inner_learning_rate: float | None = Field(ge=0)
    """ℓ of the look-ahead, which is a plain gradient step whatever the encoders' optimiser (Eq. 3);
    None: the encoders' current rate, as in the paper; 0.001 in the release."""
    mag_hidden: int | None = Field(None, ge=1)
    """Hidden width of the MAGs; None: the release's 2048 times the width of the spec."""
    mag_optimizer: Literal["sgd", "adam"]
    """Of the MAGs: Adam in the paper (appendix B.2), SGD with momentum 0.9 in the release."""
    mag_learning_rate: float | None = Field(gt=0)
    """None: the encoders' rate and schedule (choice: the paper's ℓ' is not stated); 0.03 in the
    release, never decayed."""
    mag_weight_decay: float = Field(ge=0)
    """0 in `published` (choice: the paper does not say); 1e-4 in the release, where it outweighs
    gradients that are scaled by delta."""
    mag_running_statistics: bool
    """Let the encoder step move the MAGs' running statistics of batch normalisation, as the release
    does (choice: the paper does not say)."""
    encoder_running_statistics: bool
    """Let the MAGs' pass move the encoders' running statistics, as the release does. In the paper's
    Algorithm 1 that pass changes the MAGs alone."""
    margin_size: MarginSize = "large"
    """Which margins of Eq. 4; the paper's best (Figure 5)."""
    margin_in_encoder_step: bool
    """Add R_sigma to the encoders' loss, as the release does; the paper has it in the MAGs' update
    alone (Eq. 6)."""
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
    augmented_readout: Literal["projection", "layer"]
    """What is probed "with augmented features" (Table 5): the features z of the projection heads
    with the MAGs' outputs appended, as in the paper (appendix A.3), or a layer of the encoders with
    the MAGs' outputs appended, as in the release."""
    mag_probe_mode: Literal["eval", "train"]
    """Batch-norm mode of the MAGs when augmented features are probed; `train` in the release
    (choice: the paper does not say)."""
