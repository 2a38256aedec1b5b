"""The interface of methods, their registry, and how they are built."""

import types

import pytest
import torch
from torch.nn import functional as F

from metaug import method as module
from metaug.data.views import make_views
from metaug.errors import UserError
from metaug.method import (
    Method,
    build_method,
    find_method,
    registered_methods,
)
from metaug.seeds import draws_of


@pytest.fixture
def registry():
    """The registry, emptied before and after."""
    registered_methods.cache_clear()
    yield
    registered_methods.cache_clear()


def test_methods_are_found_by_name_in_sorted_order():
    methods = registered_methods()
    assert {"metaug", "metaug_oucl", "metaug_mag", "simclr", "cmc", "random"} <= set(methods)
    assert list(methods) == sorted(methods)
    for name, kind in methods.items():
        assert kind.name == name
        assert find_method(name) is kind


def test_an_unknown_method_is_refused_with_the_closest_name():
    with pytest.raises(UserError, match=r"unknown method 'simcrl'; did you mean 'simclr'\?"):
        find_method("simcrl")


def package_with(monkeypatch, *names):
    """A package that holds methods of these names, and something that is none."""
    package = types.ModuleType("toy_methods")
    for index, name in enumerate(names):
        kind = type(f"Toy{index}", (Method,), {"name": name, "__module__": "toy_methods"})
        setattr(package, f"Toy{index}", kind)
    package.Imported = find_method("simclr")
    package.Nameless = type("Nameless", (Method,), {"__module__": "toy_methods"})
    package.number = 3
    monkeypatch.setitem(__import__("sys").modules, "toy_methods", package)
    monkeypatch.setattr(module, "METHOD_PACKAGES", ("metaug.algorithm", "toy_methods"))
    registered_methods.cache_clear()


def test_a_method_of_a_package_is_found_and_what_it_imports_or_leaves_nameless_is_not(
    registry, monkeypatch
):
    package_with(monkeypatch, "toy")
    assert set(registered_methods()) == {"metaug", "metaug_oucl", "metaug_mag", "toy"}


def test_two_methods_of_one_name_are_an_error(registry, monkeypatch):
    package_with(monkeypatch, "toy", "toy")
    with pytest.raises(UserError, match="another method is called 'toy' too"):
        registered_methods()


def test_building_does_not_touch_the_global_random_state(make_spec, ready):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    ready(make_spec("simclr"))
    assert torch.equal(torch.rand(2), expected)


def test_convolutions_are_channels_last(make_spec, ready):
    weights = [p for p in ready(make_spec("simclr")).parameters() if p.ndim == 4]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


@pytest.mark.parametrize(
    "name, changes, multiplier",
    [
        ("simclr", {}, 1.0),
        ("cmc", {}, 0.5),
        ("cmc", {"view_width": 1.0}, 1.0),
        ("simclr", {"width": 0.125}, 2.0),
    ],
)
def test_several_views_share_the_width(make_spec, ready, name, changes, multiplier):
    method = ready(make_spec(name, **changes))
    for view, encoder in method.encoders.items():
        assert method.encoder_of(view) is encoder
        assert encoder.stages.conv3[0].weight.shape[0] == round(384 / 16 * multiplier)
    assert method.out_features == round(4096 / 16 * multiplier)


def test_encode_is_the_encoder_on_the_normalised_view(make_spec, ready, make_batch):
    method = ready(make_spec("simclr", views=("lab",))).eval()
    (crop, _) = make_batch(method).crops
    expected = method.encoder(make_views(crop, ("lab",))["lab"])
    assert torch.equal(method.encode(crop), expected)
    other = ready(make_spec("simclr", views=("lab",)), trial=1).eval().encoder
    assert torch.equal(method.encode(crop, other), other(make_views(crop, ("lab",))["lab"]))


def test_the_encoder_of_a_method_with_several_views_must_be_named(make_spec, ready):
    with pytest.raises(ValueError, match="too many values"):
        _ = ready(make_spec("cmc")).encoder


def test_representations_of_views_are_concatenated_layer_by_layer(make_spec, ready, make_batch):
    method = ready(make_spec("cmc")).eval()
    (crop,) = make_batch(method).crops
    views = make_views(crop, method.spec.views)
    with torch.no_grad():
        readouts = method.representation(crop)
        parts = [method.encoders[v].layers(views[v]) for v in method.spec.views]
    for layer in ("conv", "fc"):
        expected = torch.cat([part[layer] for part in parts], 1)
        assert torch.equal(readouts[layer], expected)


def test_one_recipe_serves_every_crop_and_several_go_in_order(make_spec, ready):
    one = ready(make_spec("simclr", augmentation="cmc")).augmentations
    two = ready(make_spec("simclr", augmentation=("asymmetric_1", "asymmetric_2"))).augmentations
    assert len(one) == len(two) == 2
    assert one[0].operations == one[1].operations
    assert two[0].operations != two[1].operations


def test_crops_are_independent_draws_that_depend_on_the_place_alone(make_spec, ready, training_set):
    method = ready(make_spec("simclr"))
    images = training_set.batch(torch.arange(4), torch.device("cpu"))
    first, second = method.augment(images, draws_of(0))
    again = method.augment(images, draws_of(0))
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)


def test_views_of_a_batch_are_normalised_colour_views_of_one_crop(make_spec, ready, make_batch):
    method = ready(make_spec("simclr"))
    batch = make_batch(method)
    expected = make_views(batch.crops[1], ("l", "ab"))
    views = batch.views(("l", "ab"), crop=1)
    assert list(views) == ["l", "ab"]
    assert all(torch.equal(views[name], expected[name]) for name in views)


def test_an_update_is_a_step_of_the_optimiser_on_the_loss(make_spec, ready, make_batch):
    """And the hooks are called in their order, around the optimiser's step."""
    method = ready(make_spec("simclr", optimizer="sgd", momentum=0.0, weight_decay=0.0))
    weight = method.encoder.stages.conv3[0].weight
    before, seen = weight.detach().clone(), []
    method.before_step = lambda batch: seen.append((weight.grad.clone(), weight.detach().clone()))
    method.after_step = lambda batch: seen.append(weight.detach().clone())
    batch = make_batch(method)
    logs = method.update(batch)
    (gradient, unmoved), moved = seen
    assert torch.equal(unmoved, before)
    torch.testing.assert_close(moved, before - 0.03 * gradient)
    assert gradient.abs().max() > 0
    assert not logs["loss"].requires_grad


def test_frozen_parameters_are_left_out_of_the_optimiser(make_spec, ready):
    method = ready(make_spec("simclr"))
    for parameter in method.projector.parameters():
        parameter.requires_grad_(False)
    (group,) = method.build_optimizers()["encoder"].param_groups
    expected = {id(p) for p in method.encoder.parameters()}
    assert {id(p) for p in group["params"]} == expected
    for parameter in method.parameters():
        parameter.requires_grad_(False)
    assert method.build_optimizers() == {}


def test_mixed_precision_concerns_the_encoders_alone(make_spec, ready, make_batch):
    method = ready(make_spec("simclr")).eval()
    (crop, _) = make_batch(method).crops
    plain = method.encode(crop)
    method.mixed_precision = True
    mixed = method.encode(crop)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, plain)
    assert F.cosine_similarity(mixed, plain).min() > 0.99


@pytest.mark.parametrize(
    "name, views, message",
    [
        ("simclr", ("l", "ab"), r"simclr trains one encoder: give it one view, .*2 \(l, ab\)"),
        ("cmc", ("l",), "cmc contrasts views: give it at least two"),
        ("metaug", ("l",), "metaug contrasts views: give it at least two"),
        ("simclr", ("l", "l"), "simclr: view 'l' is given twice"),
    ],
)
def test_a_method_says_how_many_views_it_takes(make_spec, name, views, message):
    assert make_spec(name).views
    assert make_spec("random", views=("l", "ab")).views == ("l", "ab")
    with pytest.raises(UserError, match=message) as error:
        make_spec(name, views=views)
    assert "\n" not in str(error.value)


def test_a_check_is_given_the_hyper_parameters_of_the_method(make_spec, monkeypatch):
    seen = []
    checks = classmethod(lambda cls, spec, hyper: seen.append((spec, hyper)))
    monkeypatch.setattr(find_method("moco"), "check", checks)
    spec = make_spec("moco", queue_size=32)
    ((checked, hyper),) = seen
    assert checked == spec
    assert isinstance(hyper, find_method("moco").Hyper)
    assert hyper.model_dump(mode="json") == spec.hyper


def test_optimisers_are_built_once_when_they_are_asked_for(make_spec, ready):
    method = ready(make_spec("metaug"))
    assert "optimizers" not in vars(method)
    assert method.optimizers is method.optimizers
    assert set(method.optimizers) == {"encoder", "mag"}


def test_a_parameter_whose_gradient_is_taken_away_stays_as_it_is(make_spec, ready, make_batch):
    """Weight decay does not move it either."""
    method = ready(make_spec("simclr", weight_decay=0.1))
    still, moved = method.projector[0].weight, method.encoder.stages.conv3[0].weight
    before = still.detach().clone(), moved.detach().clone()
    method.before_step = lambda batch: setattr(still, "grad", None)
    method.update(make_batch(method))
    assert torch.equal(still, before[0])
    assert not torch.equal(moved, before[1])
    assert all(p.grad is None for p in method.parameters())


def test_unknown_views_and_hyper_parameters_are_refused(make_spec):
    with pytest.raises(UserError, match="unknown view 'rbg'; did you mean 'rgb'"):
        make_spec("simclr", views=("rbg",))
    spec = make_spec("simclr").model_copy(update={"hyper": {"temprature": 0.1}})
    with pytest.raises(UserError, match="unknown key 'temprature'; did you mean 'temperature'"):
        build_method(spec, module.DataShape(24, 4), 0)
