"""The margin regularisation R_sigma of MetAug, with every reading of paper and release."""

from collections.abc import Mapping

import torch
from torch import Tensor

from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.pairs import Pair, PairScores, augmented
from metaug.losses import margin_regularization, margins, similarity


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
    one, should there be more than three views; of the first call where there are two).
    """
    others = [view for view in dict.fromkeys(a for a, _ in directions) if view not in pair]
    return others[-1] if hyper.margin_originals == "overwritten" and others else "original"
