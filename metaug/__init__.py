"""MetAug (Li et al., ICML 2022): the method, its training, its evaluation and its paper.

As a library, on the embeddings of your own networks:

* `oucl`, `OUCL`: the loss on embeddings of several views, as a function and as a module.
* `MetaStep`: MetAug's training step around an encoder, a head and optimisers of your own.
* `MAG`: the generator of augmented features. `MemoryBank`, `draw_rows`: negatives beyond the batch.
* `oucl_loss`, `margins`, `margin_regularization`, `similarity`: the formulas of the paper, on
  similarities of pairs.

They need torch, NumPy and Pydantic alone, and are imported when first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaug.algorithm.pairs import Rows, draw_rows
    from metaug.losses import margin_regularization, margins, oucl_loss, similarity
    from metaug.memory_bank import MemoryBank
    from metaug.meta_step import MetaStep
    from metaug.models.generator import MAG
    from metaug.multiview import OUCL, oucl

__version__ = "0.1.0"

__all__ = [
    "MAG",
    "OUCL",
    "MemoryBank",
    "MetaStep",
    "Rows",
    "draw_rows",
    "margin_regularization",
    "margins",
    "oucl",
    "oucl_loss",
    "similarity",
]

_HOMES = {
    "metaug.algorithm.pairs": ("Rows", "draw_rows"),
    "metaug.losses": ("margin_regularization", "margins", "oucl_loss", "similarity"),
    "metaug.memory_bank": ("MemoryBank",),
    "metaug.meta_step": ("MetaStep",),
    "metaug.models.generator": ("MAG",),
    "metaug.multiview": ("OUCL", "oucl"),
}


def __getattr__(name: str) -> Any:
    """Import what `__all__` names when it is first asked for: a dry run needs no torch."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
