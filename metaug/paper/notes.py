"""What is to be said below tables and figures."""

from collections.abc import Sequence

from metaug.algorithm.hyper import MetAugHyper
from metaug.data.datasets import DATASETS
from metaug.grid import Grid
from metaug.reporting.names import dataset_name, power_of_ten

READOUT_NOTES = {
    "alexnet": "conv is the last convolution of the AlexNet (conv5), pooled and flattened; fc its "
    "second fully connected layer (fc7). The released code probes the first one, fc6; Extra 5 has "
    "all three. Features of several views "
    "are concatenated. For small images the convolutions are 3 × 3 (choice).",
    "resnet50": "The paper does not describe its ResNet-50: ours is torchvision's, with a smaller "
    "stem for small images, probed at its average-pooled features; several views have one of half "
    "width each, as CMC's, and their features are concatenated (choice).",
}
FLOOR_NOTE = (
    "Untrained: the same network with its initial weights, by the views it sees (‡ one encoder of "
    "half width for each). Networks differ in what they give untrained, so that methods of "
    "different views are better compared by their gains over it{where}."
)
GAINS_ARE_IN = " (of Table 1 in dots1, with other read-outs on CIFAR-10 in Extra 5)"
SWAV_HARD_NOTE = (
    "SwAV + Hard is defined by no source; ours adds the hard-negative loss between the embeddings "
    "of SwAV's two crops to SwAV's own loss (a guess)."
)


def stand_in_note(shown: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The sentence that says so where a data set stands in for the paper's."""
    if set(shown) <= set(wanted):
        return ()
    if shown[0] not in DATASETS:
        return (
            f"{dataset_name(shown[0])}, a user's own data set, stands in for {_listed(wanted)}; "
            "the paper has no numbers for it.",
        )
    return (
        f"{dataset_name(shown[0])} stands in for {_listed(wanted)}, which this scale does not "
        "have; the paper has no numbers for it.",
    )


def dataset_heading(dataset: str) -> str:
    """What heads the columns of a data set; says so where the paper cannot have numbers in them."""
    name = dataset_name(dataset)
    return name if dataset in DATASETS else f"{name}, not in the paper"


def dataset_notes(shown: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """What is to be said of the data sets of a table with a column for each: what stands in for
    them, which have no column, and which images of STL-10 train."""
    known = [name for name in shown if name in DATASETS]
    if not known:  # those of a user's own are described by `user_data_notes`
        return ()
    if notes := stand_in_note(known, wanted):
        return notes
    if missing := [name for name in wanted if name not in shown]:
        notes += (
            f"Without results at this scale, and so left out with the paper's numbers: "
            f"{_listed(missing)}.",
        )
    if "stl10" in shown:
        notes += (
            f"{dataset_name('stl10')}'s unlabeled images are not used: encoders see the labelled "
            "training images alone (choice).",
        )
    return notes


def user_data_notes(grid: Grid) -> tuple[str, ...]:
    """A sentence on each data set of the user's own: what of it is used, and that the paper does
    not have it."""
    notes = []
    for name, dataset in grid.user_datasets.items():
        size, every = grid.sizes[name], dataset.training_images
        images = f"{size.train_images:,} of {every:,}" if size.train_images else f"{every:,}"
        notes.append(
            f"{name} is a user's own data set, for which the paper has no numbers: "
            f"{dataset.classes} classes, {images} training images, {dataset.test_images:,} test "
            f"images, resized to {size.image_size} × {size.image_size} pixels."
        )
    return tuple(notes)


def _listed(datasets: Sequence[str]) -> str:
    *rest, last = map(dataset_name, datasets)
    return f"{', '.join(rest)} and {last}" if rest else last


def protocol_notes(scale: str, *backbones: str) -> tuple[str, ...]:
    """What the paper leaves open and every table decides alike.

    A number that depends on the scale or the method is not repeated here: the sentence says where
    it is set.

    Args:
        scale: of the results.
        *backbones: of the table, keys of `READOUT_NOTES`.
    """
    sizes = f"config/scales/{scale}.yaml"
    metaug = MetAugHyper.model_validate({})
    delta, alpha = power_of_ten(metaug.delta), power_of_ten(metaug.alpha)
    return (
        f"Set by {sizes}, because the paper does not give them: image size, epochs, learning rate "
        "and weight decay. Set there too: network width and the number of negatives (4,096 in the "
        "paper), which smaller scales reduce, and the optimiser, Adam as in the paper (appendix "
        "B.2); the released code has SGD.",
        *(READOUT_NOTES[backbone] for backbone in backbones),
        f"MetAug's default is Eq. 10 with β = {metaug.beta:g} and γ = {metaug.gamma:g}, the loss "
        f"with augmented features weighted by δ = {delta} and the margins by α = {alpha}; γ and δ "
        "are the paper's. It does not say which β, which α and which form of its loss its tables "
        "have.",
        FLOOR_NOTE.format(where=GAINS_ARE_IN if "alexnet" in backbones else ""),
        "Negatives come from a memory only in methods that have a bank or a queue by definition; "
        "the paper does not say whether the others got one. Heads, temperatures and all else that "
        "the paper leaves open of a method are listed, with sources and choices, in "
        "docs/methods.md.",
        "A trial is a training of its own and a linear probe, a softmax classifier trained by "
        "Adam on frozen, standardised features; its result is the mean test accuracy of the "
        f"probe's last epochs, 20 in the paper (probe in {sizes}). What the paper's trials repeat, "
        "its probe's optimiser and the formula of its intervals are not given.",
    )
