"""MetAug (only MAG): the MAGs with the conventional contrastive loss."""

from typing import Any, ClassVar

from pydantic import model_validator

from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.mag import MetAug


class MetAugMAG(MetAug):
    """MetAug (only MAG): MAGs with the conventional contrastive loss (paper, Table 6). With `delta`
    0 it is CMC, bit for bit, in the `published` variant."""

    name = "metaug_mag"
    presets: ClassVar = {}

    class Hyper(MetAugHyper):
        """As MetAug's, the loss being the conventional one."""

        @model_validator(mode="before")
        @classmethod
        def _conventional(cls, values: Any) -> Any:
            return {"loss": "contrastive", **values}
