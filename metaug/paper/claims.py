"""The fifteen claims of the paper that are decided, in the order of its tables and figures.

Each function says what must hold, as comparisons of cells of the tidy frame; how a claim is decided
from them is in `metaug.reporting.claims`. Where the wording needs more than "A is greater than B",
the rule is in the docstring:

* "the best of these is greater than that": one of them is, tested on all of them (`some_hold`);
* "A is not greater than B": "B is greater than or equal to A";
* "the range over": the setting with the highest mean against that with the lowest (`contrast`).

At the scale `full` a claim is about the paper's data sets alone. A smaller scale that has none of
them decides the claim on what stands in for them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from metaug.config import Grid
from metaug.data.augment import canonical
from metaug.paper import (
    figure2,
    figure3,
    figure4,
    figure5,
    figure6,
    figure7,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
)
from metaug.paper.cells import Value, scale_of, settings_by
from metaug.reporting.aggregate import validate_frame
from metaug.reporting.claims import (
    CellKey,
    Claim,
    Outcome,
    Part,
    Quantity,
    Results,
    Statement,
    all_hold,
    contrast,
    decide_claim,
    mean_of,
    range_exceeds_noise,
    some_hold,
)
from metaug.reporting.names import NOT_RANKED, power_of_ten
from metaug.spec import TrialSpec

STAND_INS = ("tiny_imagenet", "digits_m")
"""What smaller scales use where they have none of the data sets of a table or figure."""

SETS = range(1, len(table4.SETS) + 1)
"""Numbers of Table 4's sets of augmentations."""

METRICS = ("top1", "mean_similarity")
"""All that the claims look at."""

CLAIMS: list[Claim] = []

ARTEFACTS = (
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    figure2,
    figure3,
    figure4,
    figure5,
    figure6,
    figure7,
)


def trials(grid: Grid) -> list[TrialSpec]:
    """What the claims rest on: the trials of the paper's tables and figures."""
    return [spec for artefact in ARTEFACTS for spec in artefact.trials(grid)]


def decide(frame: pd.DataFrame) -> list[Outcome]:
    """Every claim, decided from the tidy frame.

    Raises:
        UserError: the frame is not a tidy frame (`validate_frame`); names the column or the row.
    """
    validate_frame(frame)
    results = Results(frame[frame["metric"].isin(METRICS)])
    return [decide_claim(claim, results) for claim in CLAIMS]


Parts = Callable[[Results], list[Part]]


def claim(number: int, where: str, statement: str) -> Callable[[Parts], Parts]:
    """Register a claim; its function gives what must hold."""

    def register(parts: Parts) -> Parts:
        CLAIMS.append(Claim(f"C{number}", where, statement, parts))
        return parts

    return register


@claim(1, "Table 1", "MetAug is the best method on every data set with both backbones.")
def best_in_table_1(results: Results) -> list[Part]:
    """`metaug` is greater than every other row of the paper, in each column."""
    others = [method for method in table1.METHODS if method != "metaug"]
    return [all_hold(s for column in _table1(results) for s in _above("metaug", others, column))]


@claim(2, "Table 1", "The generators of augmented features add to the unified loss.")
def mags_add_to_oucl(results: Results) -> list[Part]:
    """`metaug` is greater than `metaug_oucl` in each column."""
    return [all_hold(s for c in _table1(results) for s in _above("metaug", ["metaug_oucl"], c))]


@claim(
    3,
    "Table 1",
    "The unified loss improves on the conventional one with the same encoders, and on most "
    "methods.",
)
def oucl_above_cmc_and_most(results: Results) -> list[Part]:
    """`metaug_oucl` is greater than `cmc` in each column; and in each column than at least half of
    the other self-supervised rows (`cmc` and `metaug` are among them)."""
    others = [m for m in table1.METHODS if m not in (*NOT_RANKED, "metaug_oucl")]
    columns = _table1(results)
    return [
        all_hold(s for column in columns for s in _above("metaug_oucl", ["cmc"], column)),
        *(Part(tuple(_above("metaug_oucl", others, column)), share=0.5) for column in columns),
    ]


@claim(4, "Table 2", "With a ResNet-50, MetAug is the best method and the unified loss second.")
def first_and_second_in_table_2(results: Results) -> list[Part]:
    """`metaug` is greater than all, `metaug_oucl` than all but `metaug`, on each data set."""
    others = [m for m in table2.METHODS if m not in ("metaug", "metaug_oucl")]
    columns = [
        Column(dataset, "pool", "resnet50") for dataset in _datasets(results, *table2.DATASETS)
    ]
    return [
        all_hold(
            s
            for column in columns
            for s in (
                *_above("metaug", [*others, "metaug_oucl"], column),
                *_above("metaug_oucl", others, column),
            )
        )
    ]


@claim(5, "Table 3", "MetAug improves what it is built on.")
def better_than_its_base(results: Results) -> list[Part]:
    """`metaug` is greater than `cmc` (conv), `metaug_nnclr` than `nnclr` (ResNet-50, each with the
    largest batch that was run); top-1."""
    (dataset,) = _datasets(results, table3.DATASETS[0])
    conv, resnet = Column(dataset, "conv"), Column(dataset, "pool", "resnet50")
    ours, base = (
        resnet.found(results, method, {"batch_size": 64, "learning_rate": ""})
        for method in ("metaug_nnclr", "nnclr")
    )
    batch = max(ours.keys() | base.keys(), default=(4096, ""))
    nnclr = Statement(f"metaug_nnclr > nnclr, {resnet}", ours[batch], base[batch])
    return [all_hold([*_above("metaug", ["cmc"], conv), nnclr])]


@claim(6, "Table 4", "MetAug beats LooC and DACL under every set of augmentations.")
def best_under_every_augmentation(results: Results) -> list[Part]:
    """`metaug` is greater than `looc` with sets 1 to 8, and than `dacl` with sets 7 and 8."""
    cells, run = _table4(results)
    return [
        all_hold(
            Statement(f"metaug > {other}, set {i}", cells["metaug", i], cells[other, i])
            for other in ("looc", "dacl")
            for i in map(int, _values(results, run, SETS, least=1))
            if table4.has_set(other, i)
        )
    ]


@claim(7, "Table 4", "Weak augmentation hurts MetAug less.")
def weak_augmentation_hurts_less(results: Results) -> list[Part]:
    """What `looc` loses from set 8 to set 1 is greater than what `metaug` loses."""
    cells, _ = _table4(results)
    lost = {method: cells[method, 8] - cells[method, 1] for method in ("looc", "metaug")}
    text = "loss from set 8 to set 1: looc > metaug"
    return [all_hold([Statement(text, lost["looc"], lost["metaug"])])]


@claim(8, "Table 5", "Augmented features help in training, not at test.")
def augmented_features_help_in_training(results: Results) -> list[Part]:
    """For at least 6 of 8 values of δ, probing without augmented features is at least as good as
    with them. The best δ (without) is neither the largest nor the smallest: one of those between
    is greater than the largest, and one is greater than the smallest (the better of the two is
    then greater than both)."""
    (dataset,) = _datasets(results, table5.DATASET)
    defaults: dict[str, Value] = {"delta": table5.DEFAULT_DELTA, "features": "without"}
    found = {
        column: Column(dataset, probe).found(results, "metaug", defaults)
        for column, (probe, _) in table5.READOUTS.items()
    }
    run = {delta for delta, _ in found["without"]}
    deltas = _values(results, run, table5.DELTAS, least=3)
    with_, without = (
        {delta: found[column][delta, table5.READOUTS[column][1]] for delta in deltas}
        for column in ("with", "without")
    )
    *between, _ = deltas[1:]
    return [
        Part(
            tuple(
                Statement(
                    f"without ≥ with, δ = {power_of_ten(d)}", without[d], with_[d], or_equal=True
                )
                for d in deltas
            ),
            share=6 / 8,
        ),
        *(
            some_hold(
                Statement(
                    f"δ = {power_of_ten(d)} > {power_of_ten(end)}, without",
                    without[d],
                    without[end],
                )
                for d in between
            )
            for end in (deltas[-1], deltas[0])
        ),
    ]


@claim(
    9,
    "Table 6",
    "Each part improves CMC in both view settings; MetAug without RandAugment beats CMC with it.",
)
def each_part_improves_cmc(results: Results) -> list[Part]:
    """In both blocks `metaug`, `metaug_oucl` and `metaug_mag` are greater than `cmc`, and `metaug`
    than the other two; `metaug` is greater than `cmc_randaugment`. Top-1 (choice: the claim does
    not say; the table has top-5 too)."""
    (dataset,) = _datasets(results, table6.DATASETS[0])
    column = Column(dataset, "pool", "resnet50")
    parts = ("metaug_oucl", "metaug_mag")
    statements = []
    for name, views in table6.VIEW_SETTINGS.items():
        pairs = [(m, "cmc") for m in ("metaug", *parts)] + [("metaug", m) for m in parts]
        if table6.has_setting("cmc_randaugment", name):
            pairs.append(("metaug", "cmc_randaugment"))
        cells = {
            method: column.found(results, method, {"views": "", "batch_size": table6.BATCH_SIZE})[
                "|".join(views), table6.BATCH_SIZE
            ]
            for pair in pairs
            for method in pair
        }
        statements += [
            Statement(f"{a} > {b}, views {name}, {dataset}", cells[a], cells[b]) for a, b in pairs
        ]
    return [all_hold(statements)]


@claim(
    10,
    "Figure 2",
    "Margin injection keeps augmented features from collapsing on the originals, and separates "
    "original features better.",
)
def margin_prevents_collapse(results: Results) -> list[Part]:
    """The mean similarity of positive pairs, augmented features among them, is greater without the
    margin; the gap between positive and negative pairs of original features is greater with it."""
    (dataset,) = _datasets(results, figure2.DATASET)
    defaults: dict[str, Value] = {"alpha": figure2.DEFAULT_ALPHA, "features": "", "pairs": ""}
    column = Column(dataset, "")
    found = column.found(results, "metaug", defaults, metric="mean_similarity")

    def similarity(margin: str, features: str, pairs: str) -> Quantity:
        return found[figure2.ALPHAS[margin], features, pairs]

    gap = {
        margin: similarity(margin, "original", "positive")
        - similarity(margin, "original", "negative")
        for margin in figure2.ALPHAS
    }
    return [
        all_hold(
            [
                Statement(
                    "positive similarity with augmented features: without margin > with",
                    similarity("without", "with_augmented", "positive"),
                    similarity("with", "with_augmented", "positive"),
                ),
                Statement(
                    "gap positive − negative of original features: with margin > without",
                    gap["with"],
                    gap["without"],
                ),
            ]
        )
    ]


@claim(11, "Figure 3", "Attenuated weights Γ help, the plain Γ does not.")
def attenuated_weights_help(results: Results) -> list[Part]:
    """A φ_dec is greater than no Γ; no Γ is at least as good as φ_dec = 1."""
    (dataset,) = _datasets(results, figure3.DATASET)
    column = Column(dataset, "conv")
    defaults: dict[str, Value] = {"loss": "oucl", "decay": 1.0, "margin": 0.0}
    found = column.found(results, "metaug_oucl", defaults)
    no_weights = found["unified", 1.0, figure3.NO_WEIGHTS_MARGIN]
    decays = _values(
        results, {decay for loss, decay, _ in found if loss == "weighted"}, figure3.DECAYS
    )
    return [
        some_hold(
            Statement(f"φ_dec = {d:g} > no Γ", found["weighted", d, 0.0], no_weights)
            for d in decays
        ),
        all_hold(
            [Statement("no Γ ≥ φ_dec = 1", no_weights, found["weighted", 1.0, 0.0], or_equal=True)]
        ),
    ]


@claim(
    12,
    "Figure 4",
    "All methods gain from larger batches, MetAug stays ahead, and the lead of the unified loss "
    "shrinks.",
)
def larger_batches_help(results: Results) -> list[Part]:
    """Each method is greater at the largest batch than at the smallest; `metaug` is greater than
    every other method at every batch size; `metaug_oucl` minus the mean of the others (those
    without its loss: not `metaug`, choice) is greater at the smallest batch.

    A smaller scale may leave others out: they have one batch size, that of other artefacts. What
    has none is missing."""
    (dataset,) = _datasets(results, figure4.DATASET)
    column = Column(dataset, "conv")
    defaults: dict[str, Value] = {"batch_size": figure4.DEFAULT_BATCH_SIZE}
    found = {m: column.found(results, m, defaults) for m in figure4.METHODS}
    ours = ("metaug_oucl", "metaug")
    others = [m for m in figure4.METHODS if m not in ours]
    if _reduced(results):
        others = [m for m in others if len(found[m]) != 1] or others
    methods = [*others, *ours]
    run = {size for cells in found.values() for (size,) in cells}
    sizes = _values(results, run, figure4.BATCH_SIZES)
    smallest, largest = sizes[0], sizes[-1]
    lead = {
        size: found["metaug_oucl"][size,] - mean_of([found[m][size,] for m in others])
        for size in (smallest, largest)
    }
    return [
        all_hold(
            [
                *(
                    Statement(
                        f"{m}: batch {largest:g} > {smallest:g}",
                        found[m][largest,],
                        found[m][smallest,],
                    )
                    for m in methods
                ),
                *(
                    Statement(
                        f"metaug > {m}, batch {size:g}",
                        found["metaug"][size,],
                        found[m][size,],
                    )
                    for m in methods
                    if m != "metaug"
                    for size in sizes
                ),
                Statement(
                    f"lead of metaug_oucl: batch {smallest:g} > {largest:g}",
                    lead[smallest],
                    lead[largest],
                ),
            ]
        )
    ]


@claim(
    13,
    "Figure 5",
    "Every margin size helps under both losses, and Large helps most.",
)
def every_margin_helps(results: Results) -> list[Part]:
    """Each size is greater than none, and Large greater than Medium and Small, under the unified
    and under the contrastive loss."""
    (dataset,) = _datasets(results, figure5.DATASET)
    defaults: dict[str, Value] = {
        "loss": "oucl",
        "margin_size": "large",
        "alpha": figure5.DEFAULT_ALPHA,
    }
    found = Column(dataset, "fc").found(results, "metaug", defaults)

    def at(loss: str, size: str) -> Quantity:
        values = defaults | figure5.changes(loss, size)
        return found[tuple(values[key] for key in defaults)]

    sizes = [size for size in figure5.SIZES if size != "none"]
    pairs = [(s, "none") for s in sizes] + [("large", s) for s in sizes if s != "large"]
    return [
        all_hold(
            Statement(f"{a} > {b}, {loss} loss", at(loss, a), at(loss, b))
            for loss in figure5.LOSSES
            for a, b in pairs
        )
    ]


@claim(14, "Figure 6", "β and δ matter a lot, and α is needed.")
def beta_and_delta_matter(results: Results) -> list[Part]:
    """The range of means over β, and that over δ, is more than 3 mean half-widths of the intervals
    (`range_exceeds_noise`); an α is greater than the smallest α. Each runs alone, the other two
    held where the figure holds them."""
    smallest, *greater = _sweep(results, "alpha").items()
    ranges = [
        range_exceeds_noise(
            results, figure6.SYMBOLS[key], [*_sweep(results, key).values()], factor=3
        )
        for key in ("beta", "delta")
    ]
    return [
        Part((), rules=tuple(ranges)),
        some_hold(
            Statement(f"α = {power_of_ten(value)} > {power_of_ten(smallest[0])}", cell, smallest[1])
            for value, cell in greater
        ),
    ]


@claim(15, "Figure 7", "γ matters little.")
def gamma_matters_little(results: Results) -> list[Part]:
    """The range over β, and that over δ (Figure 6), is greater than the range over γ. A range is
    the contrast of the best and the worst setting, trial by trial."""
    (dataset,) = _datasets(results, figure7.DATASET)
    defaults: dict[str, Value] = {"gamma": figure7.DEFAULT_GAMMA}
    found = Column(dataset, "fc").found(results, "metaug_oucl", defaults)
    gammas = _values(results, {gamma for (gamma,) in found}, figure7.GAMMAS)
    gamma_range = contrast(results, [found[gamma,] for gamma in gammas])
    return [
        all_hold(
            Statement(
                f"range over {figure6.SYMBOLS[key]} > range over γ",
                contrast(results, [*_sweep(results, key).values()]),
                gamma_range,
            )
            for key in ("beta", "delta")
        )
    ]


def _sweep(results: Results, key: str) -> dict[float, Quantity]:
    """MetAug's cells of Figure 6 over α, β or δ, ascending, the other two held as there."""
    (dataset,) = _datasets(results, figure6.DATASET)
    held = {name: at for _, _, name, at in figure6.PANELS}
    found = Column(dataset, "fc").found(results, "metaug", figure6.DEFAULTS)

    def at(value: float) -> tuple[Value, ...]:
        return tuple((held | {key: value})[name] for name in figure6.DEFAULTS)

    known = [value for value in figure6.VALUES[key] if at(value) in found]
    return {value: found[at(value)] for value in _values(results, known, figure6.VALUES[key])}


class Found(dict[tuple[Value, ...], Quantity]):
    """Cells of a method by the values of some hyper-parameters; one that was not run is a quantity
    without trials."""

    def __init__(
        self, cells: Mapping[tuple[Value, ...], Quantity], names: Iterable[str], missing: CellKey
    ) -> None:
        super().__init__(cells)
        self.names = tuple(names)
        self.missing = missing

    def __missing__(self, values: tuple[Value, ...]) -> Quantity:
        words = zip(self.names, values, strict=True)
        setting = ";".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in words)
        return Quantity(((1.0, self.missing._replace(setting=setting)),))


class Column(NamedTuple):
    """Where accuracies are compared: a data set and a read-out."""

    dataset: str
    probe: str
    backbone: str = "alexnet"

    def __str__(self) -> str:
        return f"{self.dataset} {self.probe if self.backbone == 'alexnet' else self.backbone}"

    def of(self, method: str, setting: str = "", metric: str = "top1") -> Quantity:
        """A method's cell, at its defaults unless a setting is given."""
        key = CellKey(method, self.dataset, self.backbone, self.probe, setting, metric)
        return Quantity(((1.0, key),))

    def found(
        self,
        results: Results,
        method: str,
        defaults: Mapping[str, Value],
        metric: str = "top1",
    ) -> Found:
        """A method's cells by the values of the hyper-parameters in `defaults`; see
        `settings_by`."""
        keys = {"method": method, "metric": metric, **self._asdict()}
        settings = settings_by(results.frame, defaults, **keys)
        cells = {values: self.of(method, text, metric) for values, text in settings.items()}
        missing = CellKey(method, self.dataset, self.backbone, self.probe, "", metric)
        return Found(cells, defaults, missing)


def _above(method: str, others: Iterable[str], column: Column) -> list[Statement]:
    """`method` is greater than each of the others in a column, all at their defaults."""
    return [
        Statement(f"{method} > {other}, {column}", column.of(method), column.of(other))
        for other in others
    ]


def _table1(results: Results) -> list[Column]:
    return [
        Column(dataset, probe)
        for dataset in _datasets(results, *table1.DATASETS)
        for probe in table1.PROBES
    ]


def _table4(results: Results) -> tuple[dict[tuple[str, int], Quantity], list[int]]:
    """The cells of Table 4 by method and number of the set; and the sets that `metaug` was run
    with."""
    (dataset,) = _datasets(results, table4.DATASET)
    defaults = {"augmentation": canonical("hflip+crop")}
    found = {m: Column(dataset, "fc").found(results, m, defaults) for m in table4.METHODS}
    cells = {
        (method, number): found[method][table4.recipe(method, number),]
        for method in table4.METHODS
        for number in SETS
        if table4.has_set(method, number)
    }
    return cells, [n for n in SETS if (table4.recipe("metaug", n),) in found["metaug"]]


def _reduced(results: Results) -> bool:
    """Whether the frame is of a scale below full, which may have less to compare than the paper."""
    return scale_of(results.frame) not in ("", "full")


def _datasets(results: Results, *wanted: str) -> tuple[str, ...]:
    """The data sets of a claim; below scale full, if it has none of them, what stands in."""
    present = set(results.frame["dataset"])
    if not _reduced(results) or present & set(wanted):
        return wanted
    return next(((name,) for name in STAND_INS if name in present), wanted)


def _values(
    results: Results, found: Iterable[Value], paper: Iterable[float], least: int = 2
) -> list[float]:
    """The values of a hyper-parameter that a claim runs over, ascending: the paper's; below scale
    full those that were run, if they are so many at least."""
    run = sorted(float(value) for value in found)
    return run if _reduced(results) and len(run) >= least else sorted(paper)
