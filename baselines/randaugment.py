"""CMC and MetAug with RandAugment among the augmentations of the input (MetAug, Table 6)."""

from typing import ClassVar

from baselines.cmc import CMC
from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.mag import MetAug
from metaug.data.augment import operations_of
from metaug.errors import UserError
from metaug.spec import TrialSpec


def check_randaugment(spec: TrialSpec) -> None:
    """Refuse, with a `UserError`, a spec whose augmentation lacks `randaugment`."""
    for recipe in spec.augmentation:
        if "randaugment" not in operations_of(recipe):
            raise UserError(
                f"{spec.method}: augmentation {recipe!r} has no randaugment; use cmc_randaugment, "
                f"or the method {spec.method.removesuffix('_randaugment')}"
            )


class CMCRandAugment(CMC):
    """CMC on crops that RandAugment changed before they are split into views.

    Settings and set of operations are PyContrast's, `cmc_randaugment` of `metaug.data.augment`
    (choice: those of the quoted value are not known, so there is no `own` recipe).
    """

    name = "cmc_randaugment"
    presets: ClassVar = {}
    defaults: ClassVar = {"augmentation": "cmc_randaugment"}

    @classmethod
    def check(cls, spec: TrialSpec, hyper: CMC.Hyper) -> None:
        check_randaugment(spec)


class MetAugRandAugment(MetAug):
    """MetAug on the same crops as `cmc_randaugment` (choice: the paper gives no settings)."""

    name = "metaug_randaugment"
    presets: ClassVar = {}
    defaults: ClassVar = {"augmentation": "cmc_randaugment"}

    @classmethod
    def check(cls, spec: TrialSpec, hyper: MetAugHyper) -> None:
        super().check(spec, hyper)
        check_randaugment(spec)
