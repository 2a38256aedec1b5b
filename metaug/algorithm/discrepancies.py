"""Where the paper and its released code disagree in a way that changes a number."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Discrepancy:
    """One place where text and code disagree.

    Attributes:
        name: the hyper-parameter of MetAug, the field of the spec, or what is measured.
        published: what the paper says; where it says nothing, what is taken for it (choice).
        released: what the code does.
        text: what the code does, and what it does not, for the rows of a table.
        where: `hyper`, a hyper-parameter that `variant` sets; `spec`, part of the release's recipe,
            which `preset: own` of `metaug` sets; `measure`, both are recorded for every training.
    """

    name: str
    published: Any
    released: Any
    text: str
    where: Literal["hyper", "spec", "measure"] = "hyper"


DISCREPANCIES = (
    Discrepancy("loss", "oucl", "unified", "Eq. 8 with λ = 0, not Eq. 10"),
    Discrepancy("gamma", 0.40, 0.25, "γ = 0.25, not 0.40"),
    Discrepancy("prefix", "inverse_beta", "one", "loss not divided by β"),
    Discrepancy("negatives", 4096, 1024, "1,024 negatives, not 4,096"),
    Discrepancy(
        "negatives_per", "batch", "image", "negatives drawn for each image, not for the batch"
    ),
    Discrepancy("redraw_negatives", False, True, "negatives drawn anew for each loss"),
    Discrepancy("bank_start", "data", "random", "bank starts with random rows"),
    Discrepancy(
        "bank_updates",
        "once",
        "every_evaluation",
        "bank updated at every evaluation, that of the generators' pass too",
    ),
    Discrepancy(
        "inner_learning_rate", None, 1e-3, "look-ahead at rate 0.001, not at the encoders' rate"
    ),
    Discrepancy(
        "update_order", "per_pass", "alternating", "both updates on every batch, not pass by pass"
    ),
    Discrepancy("augmented_loss", "pooled", "four", "four losses with augmented features, not one"),
    Discrepancy("mag_optimizer", "adam", "sgd", "generators trained by SGD, not by Adam"),
    Discrepancy(
        "mag_learning_rate", None, 0.03, "generators' rate 0.03 and constant, not the encoders'"
    ),
    Discrepancy("mag_weight_decay", 0.0, 1e-4, "generators' weights decay by 10⁻⁴"),
    Discrepancy(
        "mag_running_statistics",
        False,
        True,
        "encoder steps move the generators' running statistics",
    ),
    Discrepancy(
        "encoder_running_statistics",
        False,
        True,
        "the generators' pass moves the encoders' running statistics",
    ),
    Discrepancy(
        "margin_in_encoder_step", False, True, "margin regularisation in the encoders' step too"
    ),
    Discrepancy("margin_in_look_ahead", False, True, "margin regularisation in the look-ahead too"),
    Discrepancy("margin_scope", "batch", "sample", "margins of each image, not of the batch"),
    Discrepancy("margin_gradient", False, True, "gradient through the margins"),
    Discrepancy(
        "margin_positive_weight",
        1.0,
        1e-4,
        "positive part of the margin regularisation weighted 10⁻⁴",
    ),
    Discrepancy(
        "margin_pairs",
        "mixed",
        "released",
        "margin regularisation over twelve groups of pairs, six without an augmented feature",
    ),
    Discrepancy(
        "margin_originals",
        "first",
        "overwritten",
        "margins from scores that later calls have overwritten",
    ),
    Discrepancy(
        "augmented_readout", "projection", "layer", "probes read h ‖ MAG(z), not z ‖ MAG(z)"
    ),
    Discrepancy("mag_probe_mode", "eval", "train", "generators in train mode when probed"),
    Discrepancy("views", ("rgb", "l", "ab"), ("lab", "l", "ab"), "third view Lab, not RGB", "spec"),
    Discrepancy("optimizer", "adam", "sgd", "encoders trained by SGD, not by Adam", "spec"),
    Discrepancy(
        "fc", "fc7", "fc6", "fc is read after one linear layer (fc6), not after two", "measure"
    ),
    Discrepancy(
        "result",
        "top1",
        "top1_best",
        "the best epoch of the probe is reported, not the mean of its last 20",
        "measure",
    ),
)
"""Everything on which text and code disagree. What only stops the code from running, or is the same
in both, is not listed; nor is what the paper leaves open and the code alone decides, unless it is
marked as a choice here."""

VARIANTS: dict[str, dict[str, Any]] = {
    variant: {d.name: getattr(d, variant) for d in DISCREPANCIES if d.where == "hyper"}
    for variant in ("published", "released")
}
"""The hyper-parameters of each variant."""

VIEWS: dict[str, tuple[str, ...]] = {
    variant: next(getattr(d, variant) for d in DISCREPANCIES if d.name == "views")
    for variant in VARIANTS
}
"""The views of each variant."""

RELEASE_RECIPE: dict[str, Any] = {
    "variant": "released",
    "views": VIEWS["released"],
    "augmentation": "cmc",
    "image_size": 224,
    "train_images": None,
    "width": 1.0,
    "view_width": 0.5,
    "batch_size": 64,
    "epochs": 300,
    "optimizer": "sgd",
    "learning_rate": 0.03,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "step",
}
"""The whole recipe of the released code (train_MetAug.py): variant, optimiser, schedule, sizes."""
