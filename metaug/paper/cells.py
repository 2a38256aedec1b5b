"""What an artefact finds in the tidy frame: its scale, its data sets, its settings by value; and
what is to be said below it."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from metaug.algorithm.hyper import MetAugHyper
from metaug.reporting.aggregate import CellInterval, cell, interval_of, select
from metaug.reporting.names import dataset_name, power_of_ten

Value = float | str

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
    "half width for each). Networks differ in what they give untrained; the gain of every method "
    "over its own floor is in Extra 5."
)
SWAV_HARD_NOTE = (
    "SwAV + Hard is defined by no source; ours adds the hard-negative loss between the embeddings "
    "of SwAV's two crops to SwAV's own loss (a guess)."
)


def scale_of(frame: pd.DataFrame) -> str:
    """The scale of the frame; "" if nothing has been run."""
    return "" if frame.empty else str(frame["scale"].iloc[0])


def datasets_of(frame: pd.DataFrame, *wanted: str) -> tuple[str, ...]:
    """Those of `wanted` that the frame has; if none, what it has; if that is nothing, `wanted`."""
    present = tuple(dict.fromkeys(frame["dataset"]))
    return tuple(name for name in wanted if name in present) or present or wanted


def dataset_of(frame: pd.DataFrame, *wanted: str) -> str:
    """The first of `wanted` that the frame has; if none, what it has; else the first wanted."""
    return datasets_of(frame, *wanted)[0]


def stand_in_note(shown: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The sentence that says so where a data set stands in for the paper's."""
    if set(shown) <= set(wanted):
        return ()
    return (
        f"{dataset_name(shown[0])} stands in for {_listed(wanted)}, which this scale does not "
        "have; the paper has no numbers for it.",
    )


def dataset_notes(shown: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """What is to be said of the data sets of a table with a column for each: what stands in for
    them, which have no column, and which images of STL-10 train."""
    if notes := stand_in_note(shown, wanted):
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


def _listed(datasets: Sequence[str]) -> str:
    *rest, last = map(dataset_name, datasets)
    return f"{', '.join(rest)} and {last}" if rest else last


def protocol_notes(scale: str, *backbones: str) -> tuple[str, ...]:
    """What the paper leaves open and every table decides alike.

    A number that depends on the scale or the method is not repeated here: the sentence says where
    it is set.

    Args:
        scale: of the results; "" where nothing has been run.
        *backbones: of the table, keys of `READOUT_NOTES`.
    """
    sizes = f"config/scales/{scale}.yaml" if scale else "the scale's file in config/scales"
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
        FLOOR_NOTE,
        "Negatives come from a memory only in methods that have a bank or a queue by definition; "
        "the paper does not say whether the others got one. Heads, temperatures and all else that "
        "the paper leaves open of a method are listed, with sources and choices, in "
        "docs/methods.md.",
        "A trial is a training of its own and a linear probe, a softmax classifier trained by "
        "Adam on frozen, standardised features; its result is the mean test accuracy of the "
        f"probe's last epochs, 20 in the paper (probe in {sizes}). What the paper's trials repeat, "
        "its probe's optimiser and the formula of its intervals are not given.",
    )


def rows_of(frame: pd.DataFrame, **keys: str) -> pd.DataFrame:
    """The rows whose columns have these values."""
    for column, wanted in keys.items():
        frame = frame[frame[column] == wanted]
    return frame


def settings_by(
    frame: pd.DataFrame, defaults: Mapping[str, Value], **keys: str
) -> dict[tuple[Value, ...], str]:
    """The settings that differ in nothing but some keys, by the values of these keys.

    A `setting` of the frame leaves out what is at the default. Here the default is put in: with
    defaults {"alpha": 1e-11, "beta": 16}, the setting "beta=32" is found under (1e-11, 32) and ""
    under (1e-11, 16). Where another default is in force (a user's override), some setting names
    the one given here; then settings that leave that key out have an unknown value and are not
    returned.

    Args:
        frame: tidy frame.
        defaults: the keys that may differ, and their defaults.
        **keys: other columns of the frame, as in `select`.
    """
    settings = {text: _values(text) for text in rows_of(frame, **keys)["setting"].unique()}
    named = {pair for values in settings.values() for pair in values.items()}
    implied = {key: value for key, value in defaults.items() if (key, value) not in named}
    found: dict[tuple[Value, ...], str] = {}
    for text, values in settings.items():
        complete = {**implied, **values}
        if complete.keys() == defaults.keys():
            found[tuple(complete[key] for key in defaults)] = text
    return found


def _values(setting: str) -> dict[str, Value]:
    pairs = (part.partition("=") for part in setting.split(";") if part)
    return {key: _number_or_text(text) for key, _, text in pairs}


def _number_or_text(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text


def intervals_by(
    frame: pd.DataFrame, defaults: Mapping[str, Value], **keys: str
) -> dict[tuple[Value, ...], CellInterval]:
    """Mean and interval of the cells that `settings_by` finds."""
    rows = rows_of(frame, **keys)
    settings = settings_by(rows, defaults)
    return {values: cell(rows, setting=text, **keys) for values, text in settings.items()}


def difference(frame: pd.DataFrame, setting: str, reference: str, **keys: str) -> CellInterval:
    """Mean and interval of the difference, paired by trial, of a setting from another one."""
    ours = select(frame, setting=setting, **keys)
    parts = [cell(frame, setting=text, **keys) for text in (setting, reference)]
    return derived((ours - select(frame, setting=reference, **keys)).dropna(), parts)


def derived(values: pd.Series, parts: Iterable[CellInterval]) -> CellInterval:
    """Mean and interval of values by trial that were computed from the cells `parts`."""
    return interval_of(values, (spec for part in parts for spec in part.specs))
