"""The grid: which spec a method has at a scale, and what changes it."""

from pathlib import Path
from typing import Any

import pytest

from metaug.config import load_config
from metaug.grid import Grid
from metaug.method import registered_methods
from metaug.spec import TrialSpec

SCALES = Path(__file__).parents[1] / "config/scales"


def grid(**values: Any) -> Grid:
    config, scale = load_config(values, SCALES)
    return Grid(scale, config)


def spec(**values: Any) -> TrialSpec:
    return grid(**values).spec("simclr", "digits_m")


def test_spec_survives_json() -> None:
    one = spec()
    assert TrialSpec.model_validate_json(one.canonical_json()) == one


def test_hash_depends_on_every_field() -> None:
    one = spec()
    for change in ({"epochs": 7}, {"width": 0.5}, {"method_version": 9}, {"scale": "lite"}):
        assert one.model_copy(update=change).hash != one.hash


def test_override_changes_the_spec_of_its_method_only() -> None:
    changed = grid(overrides={"simclr": {"temperature": 0.2}})
    assert changed.spec("simclr", "digits_m").hyper["temperature"] == 0.2
    assert changed.spec("cmc", "digits_m") == grid().spec("cmc", "digits_m")


@pytest.mark.parametrize(
    "method", [name for name, kind in registered_methods().items() if kind.presets]
)
def test_a_recipe_of_a_method_is_the_same_at_every_scale(method: str) -> None:
    recipes = []
    for scale in ("smoke", "lite", "full"):
        made = grid(scale=scale)
        spec = made.spec(method, next(iter(made.scale.datasets)), preset="own")
        recipes.append({key: getattr(spec, key) for key in ("augmentation", "optimizer", "hyper")})
    assert recipes[0] == recipes[1] == recipes[2]


def test_a_user_may_ask_for_a_methods_own_recipe_and_change_it() -> None:
    changed = grid(overrides={"simclr": {"preset": "own", "batch_size": 32}})
    asked = changed.spec("simclr", "digits_m")
    assert asked == grid().spec("simclr", "digits_m", preset="own", batch_size=32)
    assert grid().spec("simclr", "digits_m", preset="metaug") == grid().spec("simclr", "digits_m")


def test_setting_names_what_differs_from_the_default() -> None:
    made = grid()
    base = made.spec("metaug", "digits_m")
    assert base.difference(base) == ""
    other = made.spec("metaug", "digits_m", delta=1e-3, augmentation="rotate+hflip")
    assert other.difference(base) == "augmentation=hflip+rotate;delta=0.001"


def test_equal_recipes_are_one_spec() -> None:
    made = grid()
    one = made.spec("simclr", "digits_m", augmentation="crop+hflip")
    assert one == made.spec("simclr", "digits_m", augmentation="hflip+crop")
    assert one == made.spec("simclr", "digits_m", augmentation="cmc")
