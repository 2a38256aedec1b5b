"""MetAug's objective in every reading of paper and release: L_ori, the loss L_aug with augmented
features and the margin regularisation R_sigma, as pure functions of features and rows."""

from collections.abc import Callable, Mapping
from itertools import permutations

import torch
from torch import Tensor

from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.pairs import Pair, PairScores, Rows, augmented
from metaug.losses import margin_regularization, margins, similarity

Calls = Mapping[str, Rows]
"""The rows of each call of the loss in one evaluation: `original`, each view (replaced by its
augmented feature), and `all` views replaced."""
PairLoss = Callable[[PairScores, list[Pair]], Tensor]
"""The loss over given pairs of a call."""


def metaug_losses(
    features: Mapping[str, Tensor],
    augmented_features: Mapping[str, Tensor],
    calls: Calls,
    hyper: MetAugHyper,
    pair_loss: PairLoss,
    *,
    regularised: bool,
) -> dict[str, Tensor]:
    """The weighted parts of the objective (Eq. 11), scalars; parts of weight 0 are left out.

    Args:
        features: unit-norm features (N, D) by view.
        augmented_features: the MAGs' outputs, of the same shapes.
        calls: what they are compared with.
        hyper: weights `delta` and `alpha`, and every reading of their terms.
        pair_loss: the loss over given pairs of a call.
        regularised: include the margin regularisation.

    Returns:
        `original`: L_ori; `augmented`: delta L_aug; `margin`: alpha R_sigma.
    """
    anchors = {**features, **{augmented(view): z for view, z in augmented_features.items()}}
    directions: list[Pair] = list(permutations(features, 2))
    of_rows = {id(rows): PairScores(anchors, rows) for rows in calls.values()}
    scores = {call: of_rows[id(rows)] for call, rows in calls.items()}
    terms = {"original": pair_loss(scores["original"], directions)}
    if hyper.delta > 0:
        loss = augmented_loss(scores, directions, hyper, pair_loss)
        terms["augmented"] = hyper.delta * loss
    if regularised and hyper.alpha > 0:
        terms["margin"] = hyper.alpha * regularization(scores, directions, hyper)
    return terms


def augmented_loss(
    scores: Mapping[str, PairScores],
    directions: list[Pair],
    hyper: MetAugHyper,
    pair_loss: PairLoss,
) -> Tensor:
    """L_aug: one loss over original and augmented pairs, or the release's sum of four; a scalar.

    Args:
        scores: by call: `original`; each view, replaced by its augmented feature; `all` replaced.
        directions: all pairs of an anchor and a target view.
        hyper: its `augmented_loss` says which.
        pair_loss: the loss over given pairs of a call.
    """
    replaced = [(augmented(a), t) for a, t in directions]
    if hyper.augmented_loss == "pooled":
        return pair_loss(scores["original"], directions + replaced)
    loss = pair_loss(scores["all"], replaced)
    for view in dict.fromkeys(a for a, _ in directions):
        pairs = [(augmented(a) if a == view else a, t) for a, t in directions]
        loss = loss + pair_loss(scores[view], pairs)
    return loss


def regularization(
    scores: Mapping[str, PairScores], directions: list[Pair], hyper: MetAugHyper
) -> Tensor:
    """R_sigma (Eq. 5) with the margins of Eq. 4, a scalar >= 0.

    Args:
        scores: by call: `original`, and the one in which a view is replaced by its augmented
            feature under the view's name.
        directions: all pairs of an anchor and a target view.
        hyper: which pairs there are, and how the margins are taken.
    """
    originals = {pair: scores[_source(pair, directions, hyper)] for pair in directions}
    positives = torch.stack([s.positive(*pair) for pair, s in originals.items()], 1)
    highest = torch.stack([s.negative(*pair).amax(1) for pair, s in originals.items()], 1)
    if hyper.margin_scope == "batch":
        positives, highest = positives.flatten(), highest.flatten()
    sigma_pos, sigma_neg = margins(similarity(positives), similarity(highest), hyper.margin_size)
    if not hyper.margin_gradient:
        sigma_pos, sigma_neg = sigma_pos.detach(), sigma_neg.detach()
    pairs = [(scores[a], augmented(a), t) for a, t in directions]
    if hyper.margin_pairs == "released":
        pairs += [(scores[t], a, t) for a, t in directions]
    augmented_positives = torch.stack([s.positive(a, t) for s, a, t in pairs])
    augmented_negatives = torch.stack([s.negative(a, t) for s, a, t in pairs])
    return margin_regularization(
        similarity(augmented_positives),
        similarity(augmented_negatives),
        sigma_pos,
        sigma_neg[:, None] if sigma_neg.ndim else sigma_neg,
        positive_weight=hyper.margin_positive_weight,
    )


def _source(pair: Pair, directions: list[Pair], hyper: MetAugHyper) -> str:
    """The call whose scores of an original pair give the margins.

    In the release the call that replaces view v by its augmented feature overwrites the scores of
    the pairs without v. So a pair ends with the scores of the call of the third view (of the last
    one if there are more than three views, and of the first call if there are two).
    """
    others = [view for view in dict.fromkeys(a for a, _ in directions) if view not in pair]
    return others[-1] if hyper.margin_originals == "overwritten" and others else "original"
