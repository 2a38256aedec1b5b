"""What a trained MetAug shows of its augmented features: read-outs for probes, and similarities."""

from collections.abc import Mapping

import torch
from torch import Tensor

from metaug.losses import similarity


def with_augmented(
    readouts: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Each read-out (N, ...) with the MAGs' outputs (N, D) of all views appended, by the name that
    Table 5 looks for."""
    return {
        f"{name};features=with_augmented": torch.cat([features, *outputs.values()], 1)
        for name, features in readouts.items()
    }


def similarity_summaries(kind: str, features: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """Mean and histogram (50 bins on [0, 1], share of pairs) of pair similarities.

    Args:
        kind: which features these are, part of the setting.
        features: unit-norm features (N, D) by the name of their anchor.

    Returns:
        By setting: of pairs that join features of different views, positives of the same image.
    """
    found: dict[str, list[Tensor]] = {"positive": [], "negative": []}
    names = list(features)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if a.removesuffix("~") == b.removesuffix("~"):
                continue
            values = similarity(features[a] @ features[b].T)
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
