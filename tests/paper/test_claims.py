import math

import numpy as np
import pandas as pd
import pytest

from metaug.paper.claims import CLAIMS, whole
from metaug.reporting.aggregate import COLUMNS
from metaug.reporting.claims import decide_claim, satisfied_by_paper
from metaug.reporting.results import Results
from metaug.reporting.statements import Missing
from metaug.suite.plan import Plan
from tests.paper.synthetic import SCALE_FILES, results_from

IDS = ["C1", "C1b", *(f"C{i}" for i in range(2, 16))]

# what the wording of each claim comes to, counted by hand
COMPARISONS = {
    "C1": 8 * 17,
    "C1b": 8,
    "C2": 8,
    "C3": 8 * 17,
    "C4": 2 * (11 + 10),
    "C5": 2,
    "C6": 8 + 2,
    "C7": 1,
    "C8": 8 + 6 + 6,
    "C9": 2 * (3 + 2) + 1,
    "C10": 2,
    "C11": 7 + 1,
    "C12": 8 + 7 * 5 + 1,
    "C13": 2 * (3 + 2),
    "C14": 2 + 7,
    "C15": 2,
}

# a method without which the claim cannot be decided
NEEDED = dict.fromkeys(IDS, "metaug") | {"C3": "cmc", "C11": "metaug_oucl"}


def outcomes_of(plan: Plan, frame: pd.DataFrame) -> dict:
    return {outcome.claim.id: outcome for outcome in plan.decide(Results(frame))}


def outcome_of(plan: Plan, name: str, results: pd.DataFrame | Results):
    """One claim, decided from a frame or from results."""
    (claim,) = (claim for claim in CLAIMS if claim.id == name)
    results = results if isinstance(results, Results) else Results(results)
    return decide_claim(claim, whole(plan.grid), results)


def artefact_of(name: str) -> str:
    (claim,) = (claim for claim in CLAIMS if claim.id == name)
    return claim.where.lower().replace(" ", "")


@pytest.fixture(scope="module")
def true_outcomes(full_plan, make_results):
    return outcomes_of(full_plan, make_results(full_plan))


@pytest.fixture(scope="module")
def mirrored_outcomes(full_plan, make_results):
    return outcomes_of(full_plan, make_results(full_plan, mirrored=True))


@pytest.fixture(scope="module")
def noisy_outcomes(full_plan, make_results):
    """Six trials, of which three lie far above the mean and three as far below, drawn anew for
    every number."""
    frame = make_results(full_plan, noise=0, trials=6)
    number = frame.groupby(["spec", "readout", "metric"]).ngroup().to_numpy()
    signs = np.random.default_rng(0).permuted(
        np.tile([1, 1, 1, -1, -1, -1], (number.max() + 1, 1)), axis=1
    )
    top = np.where(frame["metric"] == "mean_similarity", 1.0, 100.0)
    room = np.minimum(frame["value"], top - frame["value"])
    frame["value"] += room * signs[number, frame["trial"]]
    return outcomes_of(full_plan, frame)


def test_the_claims_are_those_of_the_list():
    assert [claim.id for claim in CLAIMS] == IDS
    assert [claim.where for claim in CLAIMS] == [
        *["Table 1"] * 4,
        "Table 2",
        "Table 3",
        *["Table 4"] * 2,
        "Table 5",
        "Table 6",
        *[f"Figure {number}" for number in range(2, 8)],
    ]


@pytest.mark.parametrize("name", IDS)
def test_a_true_claim_is_reproduced(true_outcomes, name):
    outcome = true_outcomes[name]
    assert outcome.verdict == "reproduced"
    assert outcome.made == len(outcome.findings) == COMPARISONS[name]
    assert outcome.deciding.verdict == "holds"
    assert outcome.deciding.comparison.effect > 0
    assert outcome.deciding.comparison.n == 5
    assert outcome.deciding.comparison.effect_size > 1


@pytest.mark.parametrize("name", [name for name in IDS if name != "C15"])
def test_a_claim_turned_round_is_contradicted(mirrored_outcomes, name):
    outcome = mirrored_outcomes[name]
    assert outcome.verdict == "contradicted"
    assert outcome.deciding.verdict == "reversed"
    assert outcome.deciding.comparison.effect < 0
    assert outcome.deciding.comparison.high < 0
    assert outcome.deciding.p < 0.05


def test_gamma_that_matters_more_than_beta_contradicts(full_plan, make_results, true_means):
    def accuracy(spec, readout):
        return true_means(spec, readout) - 60 * abs(spec.hyper.get("gamma", 0.4) - 0.4)

    outcome = outcome_of(full_plan, "C15", make_results(full_plan, "claims", accuracy=accuracy))
    assert outcome.verdict == "contradicted"


@pytest.mark.parametrize("name", IDS)
def test_noise_leaves_a_claim_inconclusive(noisy_outcomes, name):
    outcome = noisy_outcomes[name]
    assert outcome.verdict == "inconclusive"
    assert outcome.made == COMPARISONS[name]


@pytest.mark.parametrize("name", IDS)
def test_a_claim_without_a_needed_cell_is_not_run(full_plan, make_results, name):
    frame = make_results(full_plan, artefact_of(name), "claims", trials=5)
    alone = (frame["method"] == NEEDED[name]) & (frame["trial"] > 3)
    outcome = outcome_of(full_plan, name, frame[~alone])
    assert outcome.verdict == "not run"
    assert outcome.made < len(outcome.findings) == COMPARISONS[name]
    assert outcome.deciding.verdict == "not run"


def test_four_trials_decide_nothing(full_plan, make_results):
    outcomes = outcomes_of(full_plan, make_results(full_plan, trials=4))
    assert {outcome.verdict for outcome in outcomes.values()} == {"not run"}


def test_no_results_decide_nothing(full_plan):
    outcomes = outcomes_of(full_plan, pd.DataFrame(columns=COLUMNS))
    assert {outcome.verdict for outcome in outcomes.values()} == {"not run"}
    assert {name: len(outcome.findings) for name, outcome in outcomes.items()} == COMPARISONS
    assert all(outcome.made == 0 for outcome in outcomes.values())


def test_effects_are_the_known_differences(full_plan, make_results):
    needed = ("table1", "table4", "table5", "figure2", "figure4")
    frame = make_results(full_plan, *needed, noise=0)
    # LooC loses 3 × 1.0 + 1.0 from set 8 to set 1, MetAug 1.0 + 1.0
    assert outcome_of(full_plan, "C7", frame).deciding.comparison.effect == pytest.approx(2.0)
    # generators add 5 points in every column
    assert [
        f.comparison.effect for f in outcome_of(full_plan, "C2", frame).findings
    ] == pytest.approx([5.0] * 8)
    assert [
        f.comparison.effect for f in outcome_of(full_plan, "C8", frame).findings[:8]
    ] == pytest.approx([0.6] * 8)
    # the gap of the originals: 0.90 − 0.45 with margin, 0.90 − 0.55 without
    assert [
        f.comparison.effect for f in outcome_of(full_plan, "C10", frame).findings
    ] == pytest.approx([0.15, 0.10])
    # lead of OUCL: batches 32 to 512 are 4 doublings, 0.8 − 0.5 a doubling
    assert outcome_of(full_plan, "C12", frame).findings[-1].comparison.effect == pytest.approx(
        4 * 0.3
    )


def test_the_batch_size_is_judged_on_conv_at_equal_epochs(full_plan, make_results):
    queries = outcome_of(full_plan, "C12", make_results(full_plan, "figure4")).queries
    assert {query.readout for query in queries} == {"conv"}
    assert {query.spec.epochs for query in queries} == {
        full_plan.grid.spec("metaug", "cifar10").epochs
    }


def test_augmented_features_are_judged_behind_the_projection_head(full_plan, make_results):
    queries = outcome_of(full_plan, "C8", make_results(full_plan, "table5")).queries
    assert {query.readout for query in queries} == {"projection;features=with_augmented", "conv"}


def test_equal_is_enough_where_the_claim_says_so(full_plan, make_results, true_means):
    def accuracy(spec, readout):
        same = readout.replace("features=with_augmented", "")
        plain = spec.hyper.get("loss") == "weighted" and spec.hyper["decay"] == 1
        return true_means(spec, same) + (1.0 if plain else 0.0)  # what φ_dec = 1 loses to no Γ

    frame = make_results(full_plan, "table5", "figure3", noise=0, accuracy=accuracy)
    without, decays = outcome_of(full_plan, "C8", frame), outcome_of(full_plan, "C11", frame)
    assert [finding.comparison.effect for finding in without.findings[:8]] == [0.0] * 8
    assert (without.verdict, decays.verdict) == ("reproduced", "reproduced")
    assert decays.findings[-1].comparison.effect == 0.0


def test_equal_is_not_enough_elsewhere(full_plan, make_results):
    frame = make_results(
        full_plan, "table1", "figure5", noise=0, accuracy=lambda spec, readout: 50.0
    )
    assert outcome_of(full_plan, "C2", frame).verdict == "ruled out"  # the paper prints gains
    assert outcome_of(full_plan, "C13", frame).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("worse", "verdict"),
    [({1e-1, 1e-8}, "reproduced"), ({1e-1, 1e-2, 1e-8}, "contradicted")],
)
def test_six_of_eight_deltas_are_enough(full_plan, make_results, true_means, worse, verdict):
    def accuracy(spec, readout):
        helps = "features=with_augmented" in readout and spec.hyper.get("delta") in worse
        return true_means(spec, readout) + (2.0 if helps else 0.0)

    frame = make_results(full_plan, "table5", accuracy=accuracy)
    assert outcome_of(full_plan, "C8", frame).verdict == verdict


def test_the_best_delta_must_not_be_an_end(full_plan, make_results, true_means):
    def accuracy(spec, readout):
        delta = spec.hyper.get("delta", 1e-5)
        return true_means(spec, readout) + 2 * abs(math.log10(delta) + 8)

    outcome = outcome_of(full_plan, "C8", make_results(full_plan, "table5", accuracy=accuracy))
    assert outcome.verdict == "contradicted"


@pytest.mark.parametrize(("above", "verdict"), [(7, "reproduced"), (8, "contradicted")])
def test_oucl_needs_half_of_the_rows_of_a_column(
    full_plan, make_results, true_means, above, verdict
):
    ranked = ["bigan", "nat", "dim", "splitbrain", "swav", "simclr", "moco", "byol"]

    # of 17 others 9 must be below; `metaug` is above, so 7 more may be
    def accuracy(spec, readout):
        return true_means(spec, readout) + 20.0 * (spec.method in ranked[:above])

    outcome = outcome_of(full_plan, "C3", make_results(full_plan, "table1", accuracy=accuracy))
    assert outcome.verdict == verdict


@pytest.mark.parametrize(
    ("beta", "verdicts"), [(3.0, ["holds", "reversed"]), (1.0, ["undecided", "reversed"])]
)
def test_a_hyper_parameter_matters_a_lot_beyond_one_point(full_plan, make_results, beta, verdicts):
    def accuracy(spec, readout):
        return 60.0 + (beta if spec.hyper.get("beta") == 2 else 0.0)

    frame = make_results(full_plan, "figure6", noise=0.05, trials=10, accuracy=accuracy)
    ranges = outcome_of(full_plan, "C14", frame).findings[:2]
    assert [finding.verdict for finding in ranges] == verdicts


def test_every_claim_says_what_it_rests_on(true_outcomes):
    for outcome in true_outcomes.values():
        assert outcome.queries
        assert {key for f in outcome.findings for key in f.queries} == set(outcome.queries)
    assert len(true_outcomes["C2"].queries) == 16
    # β, δ and γ run over eight values each, and share the one at which the others are held
    assert len(true_outcomes["C15"].queries) == 8 + 7 + 7


@pytest.mark.parametrize(
    ("methods", "decided"),
    [
        (["random"], []),
        (["random", "simclr"], []),
        (["simclr", "byol", "cmc"], []),
        (["metaug_oucl", "simclr"], ["C11"]),
        (["metaug"], ["C8", "C10", "C13", "C14", "C15"]),
        (["metaug", "simclr"], ["C8", "C10", "C13", "C14", "C15"]),
        (["metaug", "looc"], ["C7", "C8", "C10", "C13", "C14", "C15"]),
        (["metaug", "metaug_oucl"], ["C2", "C8", "C10", "C11", "C13", "C14", "C15"]),
        (["metaug", "metaug_oucl", "dacl"], ["C2", "C8", "C10", "C11", "C13", "C14", "C15"]),
    ],
)
@pytest.mark.parametrize("scale", ["smoke", "lite"])
def test_what_needs_a_method_that_the_user_left_out_is_not_run(
    request, make_results, scale, methods, decided
):
    plan = request.getfixturevalue(f"{scale}_plan")
    plan = Plan(plan.config.model_copy(update={"methods": methods}), plan.scale)
    outcomes = outcomes_of(plan, make_results(plan, trials=5, noise=0.01))
    assert [name for name, o in outcomes.items() if o.verdict != "not run"] == decided
    assert all(outcomes[name].verdict == "reproduced" for name in decided)
    for name in set(IDS) - set(decided):
        assert outcomes[name].made < len(outcomes[name].findings)


def test_a_method_that_the_user_left_out_stays_among_the_missing(smoke_plan, make_results):
    frame = make_results(smoke_plan, "table1", "figure4", trials=5, noise=0.01)
    whole = outcome_of(smoke_plan, "C12", frame)
    rest = outcome_of(smoke_plan, "C12", frame[frame["method"] != "metaug"])
    assert (whole.made, len(whole.findings)) == (5 + 4 * 2 + 1, 5 + 4 * 2 + 1)
    assert (rest.made, len(rest.findings)) == (4 + 1, 5 + 4 * 2 + 1)


def test_a_scale_without_others_has_no_lead_to_compare(smoke_plan, make_results):
    scale = smoke_plan.scale
    grid = {**scale.grid, "figure4.methods": ["metaug_oucl", "metaug"]}
    plan = Plan(smoke_plan.config, scale.model_copy(update={"grid": grid}), SCALE_FILES)
    outcome = outcome_of(plan, "C12", make_results(plan, "figure4", trials=5, noise=0.01))
    assert (outcome.verdict, len(outcome.findings)) == ("reproduced", 2 + 2)


def test_what_a_scale_leaves_out_is_named_and_not_run(smoke_plan):
    scale = smoke_plan.scale.model_copy(
        update={"grid": smoke_plan.scale.grid | {"table4.sets": [1, 5]}}
    )
    plan = Plan(smoke_plan.config, scale, SCALE_FILES)
    outcome = outcome_of(plan, "C7", pd.DataFrame(columns=COLUMNS))
    assert outcome.verdict == "not run"
    assert outcome.deciding.text == "table4 at set8, looc is not part of scale smoke"


@pytest.mark.parametrize("count", [1, 2])
def test_sweeps_of_few_values_leave_claims_open_and_break_nothing(smoke_plan, count):
    grid = {
        key: values[:count] if isinstance(values, list) else values
        for key, values in smoke_plan.scale.grid.items()
    }
    plan = Plan(smoke_plan.config, smoke_plan.scale.model_copy(update={"grid": grid}), SCALE_FILES)
    verdicts = {o.verdict for o in plan.decide(Results(pd.DataFrame(columns=COLUMNS)))}
    assert verdicts == {"not run"}


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_every_place_that_a_claim_names_exists(claim, scale, request):
    plan = request.getfixturevalue(f"{scale}_plan")
    statements = claim.statements(whole(plan.grid))
    assert statements
    assert not any(isinstance(statement, Missing) for statement in statements)


@pytest.mark.parametrize("scale", ["smoke", "lite", "full"])
def test_a_claim_knows_how_many_comparisons_the_paper_has(request, make_results, scale):
    plan = request.getfixturevalue(f"{scale}_plan")
    outcomes = outcomes_of(plan, make_results(plan, trials=2))
    assert {name: outcome.in_paper[0] for name, outcome in outcomes.items()} == COMPARISONS
    asked = {name: len(outcome.findings) for name, outcome in outcomes.items()}
    fewer = {
        "smoke": {*IDS} - {"C5", "C7", "C9", "C10", "C13", "C15"},
        "lite": {"C1", "C1b", "C2", "C3", "C4", "C8", "C11", "C12", "C14"},
        "full": set(),
    }
    assert {name for name in IDS if asked[name] < COMPARISONS[name]} == fewer[scale]
    numbers = {name for name, o in outcomes.items() if len(o.queries) < o.in_paper[1]}
    assert numbers == fewer[scale] | ({"C15"} if scale != "full" else set())  # two ranges, of fewer


def test_the_whole_verdict_at_smoke_rests_on_the_stand_in(smoke_plan, make_results):
    outcomes = outcomes_of(smoke_plan, make_results(smoke_plan, trials=5, noise=0.01))
    assert {key.spec.dataset for o in outcomes.values() for key in o.queries} == {"digits_m"}
    assert {outcome.verdict for outcome in outcomes.values()} == {"reproduced"}
    assert len(outcomes["C1"].findings) == 2 * 17


def test_a_claim_is_about_the_data_sets_of_the_scale(lite_plan, make_results):
    frame = make_results(lite_plan, "table1", "table6", trials=5, noise=0.01)
    best = outcome_of(lite_plan, "C1", frame)
    assert (best.verdict, best.made, len(best.findings)) == ("reproduced", 6 * 17, 6 * 17)
    assert {query.spec.dataset for query in best.queries} == {
        "tiny_imagenet",
        "cifar10",
        "cifar100",
    }
    parts = outcome_of(lite_plan, "C9", frame)  # Tiny ImageNet stands in for ImageNet
    assert parts.verdict == "reproduced"
    assert {key.spec.dataset for key in parts.queries} == {"tiny_imagenet"}


def test_nothing_stands_in_at_full(full_plan, make_results):
    frame = make_results(full_plan, "table1", "table6", trials=2)
    outcome = outcome_of(full_plan, "C9", frame[frame["dataset"] != "imagenet"])
    assert (outcome.verdict, outcome.made) == ("not run", 0)


@pytest.mark.parametrize(
    ("name", "text", "difference"),
    [
        ("C3", "MetAug (only OUCL) > CMC, STL-10 fc", -0.34),
        ("C4", "MetAug (only OUCL) > LooC, STL-10", -0.31),
    ],
)
def test_a_comparison_has_the_printed_difference(full_plan, name, text, difference):
    (claim,) = (claim for claim in CLAIMS if claim.id == name)
    (found,) = {c.published for c in claim.statements(full_plan.grid) if c.text == text}
    assert found == pytest.approx(difference)


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_the_papers_own_numbers_satisfy_it(claim, full_plan):
    """Its tables contradict two of its sentences, and bear out the others; its figures print too
    little."""
    says = satisfied_by_paper(claim, full_plan.grid)
    if claim.where.startswith("Figure"):
        assert says is None
    else:
        assert says is (claim.id not in ("C3", "C4"))


@pytest.mark.parametrize(
    "claim", [c for c in CLAIMS if c.where.startswith("Table")], ids=lambda claim: claim.id
)
def test_the_papers_own_numbers_reproduce_what_they_satisfy(claim, full_plan):
    """Its tables fed back as five trials with next to no noise."""
    rng = np.random.default_rng(0)
    terms = {
        term.query: term.published
        for statement in claim.statements(full_plan.grid)
        for term in (statement.greater - statement.lesser).terms
    }
    trials = {query: mean + rng.normal(0, 1e-4, 5) for query, mean in terms.items()}
    outcome = decide_claim(claim, full_plan.grid, results_from(trials))
    satisfied = satisfied_by_paper(claim, full_plan.grid)
    assert outcome.verdict == ("reproduced" if satisfied else "contradicted")
    assert satisfied is (claim.id not in ("C3", "C4"))
