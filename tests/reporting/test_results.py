import math

import pandas as pd
import pytest
import torch

from metaug.errors import UserError
from metaug.hits import encode_hits
from metaug.reporting.results import (
    NOT_RUN,
    Query,
    Results,
    derived,
    failed_of,
    interval_of,
    readout_of,
    values_of,
)
from metaug.reporting.statistics import Interval
from tests.paper.synthetic import plan_of, results_from

SPEC = plan_of("lite").grid.spec("cmc", "cifar10")
OTHER = plan_of("lite").grid.spec("simclr", "cifar10")
CONV, FC = Query(SPEC, "conv"), Query(SPEC, "fc")


def test_the_values_of_a_query_are_by_trial():
    results = results_from({CONV: [80.0, 81.0, 82.0], FC: [70.0]})
    assert results.values(CONV).to_dict() == {0: 80.0, 1: 81.0, 2: 82.0}
    assert results.values(FC).to_dict() == {0: 70.0}


@pytest.mark.parametrize(
    "query", [Query(OTHER, "conv"), Query(SPEC, "conv", "top5"), Query(SPEC, "fc6")]
)
def test_what_has_not_been_run_has_no_values(query):
    results = results_from({CONV: [80.0]})
    assert results.values(query).empty
    assert results.interval(query).n == NOT_RUN.n == 0
    assert results.interval(query).specs == ()


def test_an_interval_is_mean_half_width_and_count_and_leads_to_its_trainings():
    interval = interval_of(pd.Series([80.0, 81.0, 82.0]), ["a", "b", "a"])
    assert interval == pytest.approx((81.0, 4.302653 / 3**0.5, 3), abs=1e-5)  # t_{.975, 2}, s = 1
    assert interval.values == (80.0, 81.0, 82.0)
    assert interval.specs == ("a", "b")


def test_two_trials_have_no_interval_and_are_remembered():
    interval = results_from({CONV: [82.0, 81.0]}).interval(CONV)
    assert (interval.mean, interval.n) == (81.5, 2)
    assert math.isnan(interval.half_width)
    assert values_of(interval) == (82.0, 81.0)
    assert values_of(Interval(81.5, 0.5, 2)) == ()


def test_a_difference_is_paired_by_trial():
    results = results_from({CONV: [80.0, 82.0, 90.0], FC: [70.0, 71.0]})
    difference = results.difference(CONV, FC)
    assert difference.values == (10.0, 11.0)
    assert difference.specs == (SPEC.hash,)


def test_what_is_computed_from_several_numbers_leads_to_all_their_trainings():
    both = derived(pd.Series([1.0, 2.0]), CONV, Query(OTHER, "conv"))
    assert both.specs == (SPEC.hash, OTHER.hash)


def test_a_query_reads_as_what_it_asks_for():
    assert str(CONV) == f"cmc cifar10 alexnet {SPEC.hash} conv top1"


def test_a_readout_is_a_probe_and_its_option():
    assert readout_of("conv", "") == "conv"
    assert readout_of("projection", "features=with_augmented") == (
        "projection;features=with_augmented"
    )
    assert readout_of("", "features=original") == ";features=original"


def test_results_of_a_bad_frame_are_refused(tidy):
    with pytest.raises(UserError, match="row 2 of the results has an accuracy outside 0 to 100"):
        Results(tidy([80.0, 180.0]))


def test_failed_trials_are_remembered_beside_the_others_and_alone():
    failed = ("trial 3: loss is nan at step 12 (epoch 0)",)
    results = results_from({CONV: [80.0, 82.0, 90.0]}, {SPEC.hash: failed})
    assert results.interval(CONV).n == 3
    assert failed_of(results.interval(CONV)) == failed_of(results.interval(FC)) == failed
    assert failed_of(results.difference(CONV, Query(OTHER, "conv"))) == failed
    assert failed_of(results.interval(Query(OTHER, "conv"))) == ()
    assert failed_of(results.difference(Query(OTHER, "conv"), CONV)) == ()
    assert results.interval(CONV, unit=0.01).mean == pytest.approx(8400.0)


def texts(*hits: list[int]) -> dict[tuple[str, int], dict[str, str]]:
    return {
        (SPEC.hash, trial): {"conv": encode_hits(torch.tensor(numbers))}
        for trial, numbers in enumerate(hits)
    }


def test_accuracy_by_image_is_the_mean_over_trials_of_the_share_of_epochs() -> None:
    epochs = SPEC.probe.averaged_epochs
    hits = texts([epochs, 0, epochs, 0], [epochs, epochs, 0, 0])
    results = results_from({CONV: [50.0, 50.0]}, hits=hits)
    assert results.of_images(CONV, [0, 1]).tolist() == [100.0, 50.0, 50.0, 0.0]
    assert results.of_images(CONV, [0]).tolist() == [100.0, 0.0, 100.0, 0.0]
    short = SPEC.model_copy(update={"probe": SPEC.probe.model_copy(update={"epochs": 1})})
    hits = {(short.hash, 0): {"conv": encode_hits(torch.tensor([1, 0]))}}
    once = results_from({Query(short, "conv"): [50.0]}, hits=hits)
    assert once.of_images(Query(short, "conv"), [0]).tolist() == [100.0, 0.0]
    for unknown, trials in ((FC, [0]), (CONV, [0, 2]), (Query(SPEC, "conv", "top5"), [0])):
        assert results.of_images(unknown, trials) is None
