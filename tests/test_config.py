"""The configuration: generated files have not drifted, and mistakes are named in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaug.config import Config, default_config, load_config
from metaug.errors import UserError
from metaug.grid import Grid
from metaug.suite.plan import load_plan

ROOT = Path(__file__).parents[1]
SCALES = ROOT / "config/scales"


def grid(**values: Any) -> Grid:
    config, scale = load_config(values, SCALES)
    return Grid(scale, config)


def test_config_file_is_the_generated_one() -> None:
    assert (ROOT / "config/config.yaml").read_text() == default_config()


def test_schema_is_the_generated_one() -> None:
    text = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert json.loads(text) == Config.model_json_schema()


def test_config_file_holds_the_defaults() -> None:
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert Config.model_validate(values) == Config()


@pytest.mark.parametrize("name", ["smoke", "lite", "full"])
def test_scale_file_is_valid_and_named_like_its_file(name: str) -> None:
    assert load_config({"scale": name}, SCALES)[1].name == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": "smoek"}, "unknown scale 'smoek'; did you mean 'smoke'?"),
        ({"scael": "smoke"}, "unknown key 'scael'; did you mean 'scale'?"),
        ({"methods": ["simclir"]}, "unknown method 'simclir'; did you mean 'simclr'?"),
        ({"datasets": ["digits"]}, "unknown data set 'digits'; did you mean 'digits_m'?"),
        ({"datasets": ["cifar10"]}, "data set 'cifar10' is not part of scale 'smoke'"),
        ({"overrides": {"simclr": {"tempereture": 1}}}, "did you mean 'temperature'?"),
        ({"overrides": {"simclr": {"temperature": -1}}}, "temperature = -1"),
        ({"overrides": {"simclr": {"batch_size": -64}}}, "batch_size = -64"),
        ({"overrides": {"simclr": {"epochs": "many"}}}, "epochs = 'many'"),
        ({"overrides": {"simclr": {"learning_rate": float("nan")}}}, "learning_rate = nan"),
        ({"overrides": {"simclr": {"augmentation": "crop+flip"}}}, "unknown 'flip'"),
        ({"overrides": {"simclr": {"views": ["rgbb"]}}}, "unknown view 'rgbb'"),
        ({"overrides": {"simclr": {"backbone": "alexnt"}}}, "backbone = 'alexnt'"),
        ({"overrides": {"cmc": {"views": ["l"]}}}, "at least two"),
        ({"overrides": {"cmc": {"views": ["l", "l"]}}}, "view 'l' is given twice"),
        ({"overrides": {"simclr": {"train_images": 40}}}, "a batch of 64 is more than the 40"),
        ({"overrides": {"simclr": {"preset": "owm"}}}, "no preset 'owm'; did you mean 'own'?"),
        ({"overrides": {"nobody": {}}}, "unknown method 'nobody'"),
        ({"trials": 0}, "trials = 0"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        made = grid(**values)
        for method in ("simclr", "cmc"):
            made.spec(method, "digits_m")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_ends_the_workflow_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        load_plan({"scale": "huge"})
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"looc": {"augmentation": "none"}}, "looc leaves out one augmentation at a time"),
        ({"dacl": {"lambda_min": 0.5}}, "lambda_min = 0.5"),
        ({"moco": {"queue_size": 100}}, "moco: queue_size 100 is not a multiple of batch_size"),
        ({"cmc": {"views": ["l"]}}, "cmc contrasts views: give it at least two"),
        ({"splitbrain": {"views": ["rgb"]}}, "splitbrain predicts ab from L and L from ab"),
    ],
)
def test_a_contradiction_ends_the_workflow_with_one_line_before_any_training(
    overrides: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        load_plan({"overrides": overrides})
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leaves", "METAUG_DATA_ROOT to the folder that holds leaves/"),
        ("cifra10", "did you mean 'cifar10'?"),
        ("my leaves", "it must be 1 to 40 letters, digits, - and _"),
        ("CIFAR-10", "is the same as the paper's 'cifar10'"),
    ],
)
def test_a_data_set_that_nobody_knows_ends_the_workflow_with_one_line(
    name: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("METAUG_DATA_ROOT", raising=False)
    with pytest.raises(SystemExit) as stopped:
        load_plan({"datasets": [name]})
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
