import pytest

from benchmarks.choices import trainings_of
from benchmarks.questions import QUESTIONS
from metaug.paper.floors import ARCHITECTURE


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_can_be_asked_and_is_judged_on_validation(name):
    trainings = trainings_of(QUESTIONS[name])
    assert {t.candidate for t in trainings} == set(QUESTIONS[name].candidates)
    assert {t.spec.probe.split for t in trainings} == {"validation"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_gain_is_over_the_untrained_network_of_the_same_architecture(name):
    for training in trainings_of(QUESTIONS[name]):
        assert training.floor.method == "random"
        for field in ("dataset", "backbone", *ARCHITECTURE):
            assert getattr(training.floor, field) == getattr(training.spec, field)


def test_candidates_that_change_one_method_leave_the_others_out():
    trainings = trainings_of(QUESTIONS["handicaps"])
    splits = {
        t.method: t.spec.hyper["bn_splits"] for t in trainings if t.candidate == "bn_splits 8"
    }
    assert splits == {"moco": 8, "looc": 8}
