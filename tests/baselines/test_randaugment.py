"""CMC and MetAug with RandAugment differ from CMC and MetAug by the input alone."""

import pytest
import torch

from metaug.config import Config, DatasetScale, Scale
from metaug.data.augment import operations_of
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.method import DataShape, build_method
from metaug.seeds import draws_of


def grid(**spec):
    scale = Scale(
        name="test",
        trials=1,
        datasets={"digits_m": DatasetScale(image_size=32)},
        backbones={"alexnet": {"width": 1 / 32}},
        spec={"augmentation": "cmc", "batch_size": 8, "epochs": 1, "learning_rate": 0.1, **spec},
    )
    return Grid(scale, Config())


PAIRS = [("cmc_randaugment", "cmc"), ("metaug_randaugment", "metaug")]


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_spec_differs_by_method_and_augmentation_alone(name, base):
    ours, theirs = (grid().spec(method, "digits_m") for method in (name, base))
    assert ours.difference(theirs) == f"augmentation=cmc_randaugment;method={name}"


def test_operations_are_those_of_the_base_and_randaugment():
    recipe = grid().spec("cmc_randaugment", "digits_m").augmentation[0]
    base = operations_of("cmc")
    ours = operations_of(recipe)
    assert set(ours) == {*base, "randaugment"}
    assert all(ours[name] == base[name] for name in base)


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_crops_are_changed_beyond_crop_and_flip(name, base):
    """Crops of a flat image stay flat; RandAugment's shifts bring in the fill colour."""
    flat = torch.full((64, 3, 32, 32), 255, dtype=torch.uint8)
    spreads = []
    for method_name in (name, base):
        spec = grid(view_width=1.0).spec(method_name, "digits_m", views=("l", "ab"))
        method = build_method(spec, DataShape(64, 10), trial=0)
        (crop,) = method.augment(flat, draws_of(0))
        spreads.append(float(crop.flatten(1).std(1).max()))
    assert spreads[1] == pytest.approx(0, abs=1e-6)
    assert spreads[0] > 0.05


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_weights_and_steps_are_the_base_methods(name, base):
    ours, theirs = (
        build_method(grid().spec(method, "digits_m"), DataShape(8, 10), trial=3)
        for method in (name, base)
    )
    assert type(ours).update is type(theirs).update
    assert type(ours).training_step is type(theirs).training_step
    states = ours.state_dict(), theirs.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_augmentation_without_randaugment_is_refused(name, base):
    with pytest.raises(UserError, match=f"{name}.*randaugment") as error:
        grid().spec(name, "digits_m", augmentation="cmc")
    assert "\n" not in str(error.value)


def test_one_view_is_refused():
    with pytest.raises(UserError, match="cmc_randaugment"):
        grid().spec("cmc_randaugment", "digits_m", views=("rgb",))
