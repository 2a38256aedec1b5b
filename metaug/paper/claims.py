"""The claims of the paper that are decided, in the order of its tables and figures.

Each function says what must hold, as comparisons of places of the paper's tables and figures; how a
claim is decided from them is in `metaug.reporting.claims`. Where the wording needs more than "A is
greater than B", the rule is in the docstring:

* "the best of these is greater than that": one of them is, tested on all of them (`some_hold`);
* "A is at least as good as B": A is not worse by `MARGIN` points or more;
* "the range over": the difference of the settings with the highest and the lowest mean.

A claim is about the data sets, and the values of hyper-parameters, that the scale has. A scale that
has none of the paper's data sets decides it on what stands in for them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any

from metaug.errors import UserError
from metaug.grid import Grid
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
from metaug.paper.floors import FLOOR
from metaug.paper.published import printed
from metaug.reporting.claims import Claim, Outcome, Part, all_hold, decide_claims, some_hold
from metaug.reporting.names import NOT_RANKED, dataset_name, name_in_text, power_of_ten
from metaug.reporting.results import Query, Results
from metaug.reporting.statements import (
    Missing,
    Quantity,
    RangeStatement,
    Statement,
    mean_of,
    quantity,
)
from metaug.reporting.statistics import NAN

CLAIMS: list[Claim] = []

DATASETS = {
    "table1": table1.DATASETS,
    "table2": table2.DATASETS,
    "table3": table3.DATASETS[:1],
    "table4": (table4.DATASET,),
    "table5": (table5.DATASET,),
    "table6": table6.DATASETS[:1],
    "figure5": (figure5.DATASET,),
}
"""The data sets for which the paper prints numbers, by artefact."""

MARGIN = 0.2
"""Points: "at least as good" allows for so much, the half-width that the paper prints."""

LARGE = 1.0
"""Points: a hyper-parameter "matters a lot" if the means over it range by more (choice)."""

Place = tuple[Any, ...]


def cells(grid: Grid) -> dict[tuple[str, int], Query]:
    """The numbers on which the claims rest, by claim: those of the methods that the user wants."""
    everything = whole(grid)
    return {
        (claim.id, i): query
        for claim in CLAIMS
        for i, query in enumerate(claim.queries(everything))
        if grid.wanted((query.spec.method,)) and grid.datasets(query.spec.dataset)
    }


@lru_cache(maxsize=8)
def whole(grid: Grid) -> Grid:
    """The grid of the scale without the user's choice of methods and data sets: what they leave out
    is a number that has not been run, not one that does not exist. Where the user wants nothing but
    data sets of their own, the claims are about these."""
    if grid.on_user_data_alone:
        config = grid.config.model_copy(update={"methods": None})
        return Grid(grid.scale, config, grid.user_datasets)
    config = grid.config.model_copy(update={"methods": None, "datasets": None})
    return Grid(grid.scale, config)


def decide(grid: Grid, results: Results, paper: Grid) -> list[Outcome]:
    """Every claim, decided on what a grid has.

    Args:
        grid: of the scale.
        results: the trials.
        paper: the grid of the scale `full`, with which coverage is compared.
    """
    return decide_claims(CLAIMS, whole(grid), results, whole(paper))


@lru_cache(maxsize=64)
def _cells_of(artefact: Any, grid: Grid) -> dict[Place, Query]:
    """The cells of an artefact on a grid, which several claims look at."""
    cells: dict[Place, Query] = artefact.cells(grid)
    return cells


class NotInScale(LookupError):
    """The scale leaves out a place on which a claim rests: its data set, or a value of its grid."""


class Places(Mapping[Place, Quantity]):
    """The places of an artefact by name, each with its query and the paper's number."""

    def __init__(self, artefact: Any, grid: Grid) -> None:
        self.artefact = _name(artefact)
        self.scale = grid.scale.name
        self.cells = _cells_of(artefact, grid)

    def __getitem__(self, place: Place) -> Quantity:
        if place not in self.cells:
            words = ", ".join(map(str, place))
            raise NotInScale(f"{self.artefact} at {words} is not part of scale {self.scale}")
        query = self.cells[place]
        return quantity(query, self._published(place, query))

    def __iter__(self) -> Any:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def _published(self, place: Place, query: Query) -> float:
        """What the paper prints there, where no data set stands in for the paper's."""
        if query.spec.dataset not in DATASETS.get(self.artefact, ()):
            return NAN
        value = printed(self.artefact).get((str(place[0]), str(place[1])))
        return NAN if value is None else value.value


Parts = Callable[[Grid], list[Part]]


def claim(name: str, where: str, sentence: str) -> Callable[[Parts], Parts]:
    """Register a claim; its function gives what must hold."""

    def register(parts: Parts) -> Parts:
        @wraps(parts)
        def parts_or_missing(grid: Grid) -> list[Part]:
            try:
                found = parts(grid)
            except (NotInScale, UserError) as missing:
                # a method that is impossible at this scale is an error where it is asked for
                return [all_hold([Missing(str(missing))])]
            nothing = Missing(f"{where}: too few values at scale {grid.scale.name} to compare")
            return [part if part.statements else all_hold([nothing]) for part in found]

        CLAIMS.append(Claim(name, where, sentence, parts_or_missing))
        return parts

    return register


@claim("C1", "Table 1", "MetAug is the best self-supervised method, on every data set and probe.")
def best_in_table_1(grid: Grid) -> list[Part]:
    """`metaug` is greater than every other self-supervised row of the paper, in each column."""
    places = Places(table1, grid)
    others = [m for m in table1.METHODS if m not in (*NOT_RANKED, "metaug")]
    return [all_hold(s for c in _columns(places) for s in _above(places, "metaug", others, c))]


@claim("C1b", "Table 1", "MetAug is above the supervised network in most columns.")
def above_supervised(grid: Grid) -> list[Part]:
    """`metaug` is greater than `supervised` in more than half of the columns."""
    places = Places(table1, grid)
    columns = _columns(places)
    statements = [s for c in columns for s in _above(places, "metaug", ["supervised"], c)]
    return [Part(tuple(statements), share=(len(columns) // 2 + 1) / len(columns))]


@claim("C2", "Table 1", "The generators of augmented features add to the unified loss.")
def mags_add_to_oucl(grid: Grid) -> list[Part]:
    """`metaug` is greater than `metaug_oucl` in each column."""
    places = Places(table1, grid)
    return [
        all_hold(s for c in _columns(places) for s in _above(places, "metaug", ["metaug_oucl"], c))
    ]


@claim(
    "C3",
    "Table 1",
    "The unified loss improves on the conventional one with the same encoders, and on most "
    "methods.",
)
def oucl_above_cmc_and_most(grid: Grid) -> list[Part]:
    """`metaug_oucl` is greater than `cmc` in each column; and in each column than at least half of
    the other self-supervised rows (`cmc` and `metaug` are among them)."""
    places = Places(table1, grid)
    others = [m for m in table1.METHODS if m not in (*NOT_RANKED, "metaug_oucl")]
    columns = _columns(places)
    return [
        all_hold(s for c in columns for s in _above(places, "metaug_oucl", ["cmc"], c)),
        *(Part(tuple(_above(places, "metaug_oucl", others, c)), share=0.5) for c in columns),
    ]


@claim("C4", "Table 2", "With a ResNet-50, MetAug is the best method and the unified loss second.")
def first_and_second_in_table_2(grid: Grid) -> list[Part]:
    """`metaug` is greater than all others, and `metaug_oucl` than all except `metaug`, on each
    data set."""
    places = Places(table2, grid)
    others = [m for m in table2.METHODS if m not in ("metaug", "metaug_oucl")]
    return [
        all_hold(
            s
            for c in _columns(places)
            for s in (
                *_above(places, "metaug", [*others, "metaug_oucl"], c),
                *_above(places, "metaug_oucl", others, c),
            )
        )
    ]


@claim("C5", "Table 3", "MetAug improves what it is built on.")
def better_than_its_base(grid: Grid) -> list[Part]:
    """`metaug` is greater than `cmc` (conv), `metaug_nnclr` than `nnclr` (ResNet-50); top-1."""
    places = Places(table3, grid)
    return [
        all_hold(
            [
                *_above(places, "metaug", ["cmc"], "conv_top1", "AlexNet conv"),
                *_above(places, "metaug_nnclr", ["nnclr"], "resnet50_top1", "ResNet-50"),
            ]
        )
    ]


@claim("C6", "Table 4", "MetAug beats LooC and DACL under every set of augmentations.")
def best_under_every_augmentation(grid: Grid) -> list[Part]:
    """`metaug` is greater than `looc` and than `dacl` with every set that both have."""
    places = Places(table4, grid)
    return [
        all_hold(
            Statement(
                f"{_greater('metaug', other)}, {row.replace('set', 'set ')}",
                places[row, "metaug"],
                places[row, other],
            )
            for other in ("looc", "dacl")
            for row in _rows(places, other)
        )
    ]


@claim("C7", "Table 4", "Weak augmentation hurts MetAug less.")
def weak_augmentation_hurts_less(grid: Grid) -> list[Part]:
    """What `looc` loses from set 8 to set 1 is greater than what `metaug` loses."""
    places = Places(table4, grid)
    lost = {m: places["set8", m] - places["set1", m] for m in ("looc", "metaug")}
    text = f"loss from set 8 to set 1: {_greater('looc', 'metaug')}"
    return [all_hold([Statement(text, lost["looc"], lost["metaug"])])]


@claim("C8", "Table 5", "Augmented features help in training, not at test.")
def augmented_features_help_in_training(grid: Grid) -> list[Part]:
    """For at least 6 of 8 values of δ, probing without augmented features is at least as good as
    with them. These are the paper's two modes, and they read different layers: conv without,
    the projection head's output with; Table 5 has the head alone too, and only the difference from
    it is due to the augmented features. The best δ (without) is neither the largest nor the
    smallest: one of those between is greater than the largest, and one is greater than the
    smallest (the better of the two is then greater than both)."""
    places = Places(table5, grid)
    deltas = sorted(grid.values("table5.delta", table5.DELTAS))
    with_, without = (
        {d: places[table5.row_name(d), column] for d in deltas} for column in ("with", "without")
    )
    smallest, *between, largest = _enough(deltas, table5, grid)
    return [
        Part(
            tuple(
                Statement(f"without ≥ with, δ = {power_of_ten(d)}", without[d], with_[d], MARGIN)
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
            for end in (largest, smallest)
        ),
    ]


@claim(
    "C9",
    "Table 6",
    "Each part improves CMC in both view settings; MetAug without RandAugment beats CMC with it.",
)
def each_part_improves_cmc(grid: Grid) -> list[Part]:
    """In both blocks `metaug`, `metaug_oucl` and `metaug_mag` are greater than `cmc`, and `metaug`
    than the other two; `metaug` is greater than `cmc_randaugment`. Top-1 (choice: the claim does
    not say; the table has top-5 too)."""
    places = Places(table6, grid)
    parts = ("metaug_oucl", "metaug_mag")
    statements = []
    for name in table6.VIEW_SETTINGS:
        column, words = table6.column_name(name, "top1"), f"views {name.replace(',', ', ')}"
        for method in ("metaug", *parts):
            statements += _above(places, method, ["cmc"], column, words)
        statements += _above(places, "metaug", parts, column, words)
        if table6.has_setting("cmc_randaugment", name):
            statements += _above(places, "metaug", ["cmc_randaugment"], column, words)
    return [all_hold(statements)]


@claim(
    "C10",
    "Figure 2",
    "Margin injection keeps augmented features from collapsing on the originals, and separates "
    "original features better.",
)
def margin_prevents_collapse(grid: Grid) -> list[Part]:
    """The mean similarity of positive pairs, augmented features among them, is greater without the
    margin; the gap between positive and negative pairs of original features is greater with it."""
    places = Places(figure2, grid)

    def similarity(margin: str, features: str, pairs: str) -> Quantity:
        return places[margin, features, pairs, "mean_similarity"]

    gap = {
        margin: similarity(margin, "original", "positive")
        - similarity(margin, "original", "negative")
        for margin in figure2.MARGINS
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


@claim("C11", "Figure 3", "Attenuated weights Γ help, the plain Γ does not.")
def attenuated_weights_help(grid: Grid) -> list[Part]:
    """A φ_dec above 1 is greater than no Γ; no Γ is at least as good as φ_dec = 1, which is the
    plain Γ."""
    places = Places(figure3, grid)
    no_weights = places[figure3.NO_WEIGHTS]
    decays = grid.values("figure3.decay", figure3.DECAYS)
    return [
        some_hold(
            Statement(f"φ_dec = {d:g} > no Γ", places["decayed", d], no_weights)
            for d in decays
            if d > 1
        ),
        all_hold([Statement("no Γ ≥ φ_dec = 1", no_weights, places["decayed", 1.0], MARGIN)]),
    ]


@claim(
    "C12",
    "Figure 4",
    "All methods gain from larger batches, MetAug stays ahead, and the lead of the unified loss "
    "shrinks.",
)
def larger_batches_help(grid: Grid) -> list[Part]:
    """At equal epochs, on conv: each method is greater at the largest batch than at the smallest;
    `metaug` is greater than every other method at every batch size; `metaug_oucl` minus the mean of
    the others (those without its loss: not `metaug`, choice) is greater at the smallest batch."""
    places = Places(figure4, grid)
    ours = ("metaug_oucl", "metaug")
    methods = grid.choices("figure4.methods", figure4.METHODS)
    others = [m for m in methods if m not in ours]
    sizes = sorted(grid.values("figure4.batch_size", figure4.BATCH_SIZES))
    smallest, largest = sizes[0], sizes[-1]

    def at(method: str, size: int) -> Quantity:
        return places["epochs", method, size]

    leads = []
    if others:
        small, large = (
            at("metaug_oucl", n) - mean_of([at(m, n) for m in others]) for n in (smallest, largest)
        )
        lead = f"lead of {name_in_text('metaug_oucl')}"
        leads.append(Statement(f"{lead}: batch {smallest} > {largest}", small, large))
    return [
        all_hold(
            [
                *(
                    Statement(
                        f"{name_in_text(m)}: batch {largest} > {smallest}",
                        at(m, largest),
                        at(m, smallest),
                    )
                    for m in (*others, *ours)
                ),
                *(
                    Statement(
                        f"{_greater('metaug', m)}, batch {size}", at("metaug", size), at(m, size)
                    )
                    for m in (*others, "metaug_oucl")
                    for size in sizes
                ),
                *leads,
            ]
        )
    ]


@claim("C13", "Figure 5", "Every margin size helps under both losses, and Large helps most.")
def every_margin_helps(grid: Grid) -> list[Part]:
    """Each size is greater than none, and Large greater than Medium and Small, under the unified
    and under the contrastive loss."""
    places = Places(figure5, grid)
    sizes = [size for size in figure5.SIZES if size != "none"]
    pairs = [(s, "none") for s in sizes] + [("large", s) for s in sizes if s != "large"]
    return [
        all_hold(
            Statement(
                f"margin {figure5.SIZES[a]} > {figure5.SIZES[b]}, {figure5.LOSSES[loss]} loss",
                places[loss, a],
                places[loss, b],
            )
            for loss in figure5.LOSSES
            for a, b in pairs
        )
    ]


@claim("C14", "Figure 6", "β and δ matter a lot, and α is needed.")
def beta_and_delta_matter(grid: Grid) -> list[Part]:
    """The range of means over β, and that over δ, is more than 1 point (choice); an α is greater
    than the smallest α. Each runs alone, the other two held where the figure holds them."""
    smallest, *greater = _sweep(grid, "alpha").items()
    return [
        _ranges_exceed(grid, LARGE, f"{LARGE:g} point"),
        some_hold(
            Statement(f"α = {power_of_ten(value)} > {power_of_ten(smallest[0])}", cell, smallest[1])
            for value, cell in greater
        ),
    ]


@claim("C15", "Figure 7", "γ matters less than β and δ.")
def gamma_matters_less(grid: Grid) -> list[Part]:
    """The range over β, and that over δ (Figure 6), is greater than the range over γ: of MetAug on
    the data set of Figure 6 and with α, β and δ held where Figure 6 holds them (choice: Figure 7
    has only OUCL on another data set)."""
    values = _enough(grid.values("figure7.gamma", figure7.GAMMAS), figure7, grid)
    gammas = tuple(
        quantity(Query(grid.spec("metaug", dataset, gamma=gamma, **figure6.HELD), "fc"))
        for dataset in grid.datasets(figure6.DATASET)
        for gamma in values
    )
    return [_ranges_exceed(grid, gammas, "range over γ")]


def _ranges_exceed(grid: Grid, bound: float | tuple[Quantity, ...], words: str) -> Part:
    """The range over β, and that over δ, is greater than a bound, which `words` name."""
    return all_hold(
        RangeStatement(
            f"range over {figure6.SYMBOLS[key]} > {words}",
            tuple(_sweep(grid, key).values()),
            bound,
        )
        for key in ("beta", "delta")
    )


def _sweep(grid: Grid, key: str) -> dict[float, Quantity]:
    """MetAug's cells of Figure 6 over α, β or δ, ascending, the other two held as there."""
    places = Places(figure6, grid)
    row, column, third, _ = next(panel for panel in figure6.PANELS if key in panel[:2])

    def at(value: float) -> Quantity:
        values = figure6.HELD | {key: value}
        return places[f"{row}-{column}", values[row], values[column], values[third]]

    values = sorted(grid.values(f"figure6.{key}", figure6.VALUES[key]))
    return {value: at(value) for value in _enough(values, figure6, grid)}


def _enough(values: Sequence[float], artefact: Any, grid: Grid) -> Sequence[float]:
    """The values of a sweep; two or more, to be compared."""
    if len(values) < 2:
        raise NotInScale(f"{_name(artefact)} has fewer than 2 values at scale {grid.scale.name}")
    return values


def _name(artefact: Any) -> str:
    """table1 for the module `metaug.paper.table1`."""
    return str(artefact.__name__.rpartition(".")[2])


def _columns(places: Places) -> list[str]:
    """The columns of a table, in their order; at least one."""
    if not places:
        raise NotInScale(f"no data set of {places.artefact} is part of scale {places.scale}")
    return list(dict.fromkeys(column for _, column in places))


def _rows(places: Places, column: str) -> list[str]:
    """The rows that a column of a table has, without the floors."""
    return [row for row, name in places if name == column and row != FLOOR]


def _above(
    places: Places, method: str, others: Iterable[str], column: str, words: str = ""
) -> list[Statement]:
    """`method` is greater than each of the others in a column of a table, which `words` name; if
    they do not, its data set and, of an AlexNet, its read-out do."""
    if not words:
        (query,) = places[method, column].queries
        readout = "" if query.readout == "pool" else f" {query.readout}"
        words = f"{dataset_name(query.spec.dataset)}{readout}"
    return [
        Statement(
            f"{_greater(method, other)}, {words}", places[method, column], places[other, column]
        )
        for other in others
    ]


def _greater(method: str, other: str) -> str:
    """MetAug > CMC, for a reader."""
    return f"{name_in_text(method)} > {name_in_text(other)}"
