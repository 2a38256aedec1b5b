"""How methods, data sets, views and scales are called in front of readers."""

from collections.abc import Sequence

# The paper's wording; ‡ is its mark for methods with several views, one encoder of half width each,
# here whatever the backbone.
METHOD_NAMES = {
    "supervised": "Fully supervised",
    "bigan": "BiGAN",
    "nat": "NAT",
    "dim": "DIM",
    "splitbrain": "SplitBrain ‡",
    "cpc_v2": "CPC v2",
    "swav": "SwAV",
    "simclr": "SimCLR",
    "cmc": "CMC ‡",
    "moco": "MoCo",
    "simsiam": "SimSiam",
    "infomin": "InfoMin Aug.",
    "byol": "BYOL",
    "barlow_twins": "Barlow Twins",
    "nnclr": "NNCLR",
    "dacl": "DACL",
    "looc": "LooC",
    "simclr_debiased": "SimCLR + Debiased",
    "simclr_hard": "SimCLR + Hard",
    "cmc_debiased": "CMC ‡ + Debiased",
    "cmc_hard": "CMC ‡ + Hard",
    "swav_hard": "SwAV + Hard",
    "cmc_randaugment": "CMC ‡ + RandAugment",
    "metaug_oucl": "MetAug (only OUCL) ‡",
    "metaug_mag": "MetAug (only MAG) ‡",
    "metaug": "MetAug ‡",
    "metaug_nnclr": "MetAug*",
    "metaug_randaugment": "MetAug ‡ + RandAugment",
    "random": "Random (untrained)",
}

DATASET_NAMES = {
    "digits_m": "Digits-M",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "stl10": "STL-10",
    "tiny_imagenet": "Tiny ImageNet",
    "imagenet": "ImageNet",
    "average": "Average",
}

VIEW_NAMES = {"rgb": "RGB", "l": "L", "ab": "ab", "lab": "Lab", "y": "Y", "dbdr": "DbDr"}


class ScaleTexts(dict[str, str]):
    """A text for each scale; `own`, with the name of the scale, for those that users make."""

    def __init__(self, texts: dict[str, str], own: str) -> None:
        super().__init__(texts)
        self.own = own

    def __missing__(self, scale: str) -> str:
        return self.own.format(scale)


# A scale is never mistaken for another: this goes into every caption and plot title.
SCALE_NOTES = ScaleTexts(
    {
        "smoke": "Scale: smoke. A check of the plumbing; these numbers are not the paper's result.",
        "lite": "Scale: lite. Reduced data and training; these numbers are not the paper's result.",
        "full": "Scale: full. The paper's protocol.",
    },
    own="Scale: {}, a user's own; these numbers are not the paper's result.",
)

NOT_RANKED = ("supervised", "random")  # every other method is self-supervised and trained


def method_name(method: str) -> str:
    """Display name of a method; one the paper does not know is called by its own name."""
    return METHOD_NAMES.get(method, method)


def name_in_text(method: str) -> str:
    """Display name of a method without the mark for several views, which only tables explain."""
    return method_name(method).replace(" ‡", "")


def dataset_name(dataset: str) -> str:
    """Display name of a data set; one the paper does not know is called by its own name."""
    return DATASET_NAMES.get(dataset, dataset)


def view_names(views: Sequence[str]) -> str:
    """RGB for ("rgb",), RGB + L + ab ‡ for ("rgb", "l", "ab")."""
    names = " + ".join(VIEW_NAMES.get(view, view) for view in views)
    return f"{names} ‡" if len(views) > 1 else names


def power_of_ten(value: float) -> str:
    """10⁻⁵ for 1e-5; a number that is no power of ten as it is, 0.5 for 0.5."""
    mantissa, _, exponent = f"{value:e}".partition("e")
    if float(mantissa) != 1:
        return f"{value:g}"
    return "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`; for nouns that take an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
