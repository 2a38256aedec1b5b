import hashlib

import pytest
import torch

from metaug.seeds import derive_seed, draws_of, epoch_order, generator, subset_generator
from metaug.training.images import TrainingSet


def first_draw(source):
    return torch.randint(2**60, (4,), generator=source).tolist()


def test_a_seed_is_63_bits_of_a_sha_256():
    expected = int(hashlib.sha256(b"order/3/0").hexdigest()[:16], 16) // 2
    assert derive_seed("order", 3, 0) == expected
    assert 0 <= derive_seed("anything") < 2**63


def test_every_part_of_a_seed_matters():
    seeds = {derive_seed(*parts) for parts in [("a",), ("b",), ("a", 0), ("a", 1), (0, "a")]}
    assert len(seeds) == 5


def test_generators_of_equal_parts_draw_equal_numbers():
    assert first_draw(generator("x", 1)) == first_draw(generator("x", 1))
    assert first_draw(generator("x", 1)) != first_draw(generator("x", 2))


def test_the_order_is_a_permutation_that_differs_between_trials_epochs_and_passes():
    orders = [
        epoch_order(trial, epoch, pass_index, 100)
        for trial, epoch, pass_index in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert all(sorted(order.tolist()) == list(range(100)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(epoch_order(0, 0, 0, 100), orders[0])


def test_draws_depend_on_place_and_purpose_and_never_run_on():
    draws = draws_of(0, 1, 2)
    first = first_draw(draws("negatives"))
    assert first == first_draw(draws("negatives")) == first_draw(draws_of(0, 1, 2)("negatives"))
    assert first != first_draw(draws("crop 0"))
    assert first != first_draw(draws_of(0, 1, 3)("negatives"))


@pytest.mark.parametrize("trial", [0, 1])
def test_the_training_subset_is_the_same_for_every_method(make_spec, training_set, trial):
    class Split:
        images = training_set.images
        labels = training_set.labels.numpy()

    chosen = [
        TrainingSet.of(Split, make_spec(method, train_images=12), trial, 4).images
        for method in ("simclr", "cmc", "metaug")
    ]
    assert len(chosen[0]) == 12
    assert all((images == chosen[0]).all() for images in chosen)
    other = TrainingSet.of(Split, make_spec("simclr", train_images=12), trial + 1, 4).images
    assert (other != chosen[0]).any()


def test_without_a_subset_all_images_are_used(make_spec, training_set):
    class Split:
        images = training_set.images
        labels = training_set.labels.numpy()

    chosen = TrainingSet.of(Split, make_spec("simclr"), 0, 4)
    assert (chosen.images == training_set.images).all()
    assert torch.equal(chosen.labels, training_set.labels)


def test_the_subset_is_drawn_from_the_trial_alone():
    assert first_draw(subset_generator(3)) == first_draw(subset_generator(3))
    assert first_draw(subset_generator(3)) != first_draw(subset_generator(4))
