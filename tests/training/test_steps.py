"""Steps are the batches of every pass of every epoch, in their order."""

import pytest

from metaug.training.steps import Step, number_of_steps, steps_of


@pytest.fixture(name="steps")
def steps_fixture(make_spec) -> list[Step]:
    """Those of two epochs of two passes over 24 images and a rest that fills no batch of 8."""
    return list(steps_of(make_spec("simclr"), passes=2, images=24 + 5))


def test_they_are_numbered_through_passes_and_epochs(steps):
    assert [step.number for step in steps] == list(range(12))
    assert [step[1:4] for step in steps] == [
        (epoch, pass_index, position)
        for epoch in range(2)
        for pass_index in range(2)
        for position in range(3)
    ]


def test_the_last_of_an_epoch_is_that_of_its_last_pass(steps):
    assert [step.number for step in steps if step.is_last_of_epoch] == [5, 11]


def test_the_progress_is_the_same_in_every_pass(steps):
    expected = [0, 1 / 6, 2 / 6, 0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 3 / 6, 4 / 6, 5 / 6]
    assert [step.progress for step in steps] == pytest.approx(expected)


@pytest.mark.parametrize("first", [0, 1, 5, 6, 11, 12])
def test_a_training_goes_on_with_the_steps_that_are_left(make_spec, steps, first):
    spec = make_spec("simclr")
    assert number_of_steps(spec, passes=2, images=29) == 12
    assert list(steps_of(spec, passes=2, images=29, first=first)) == steps[first:]
