"""Configurations that users may have by mistake: one line, exit status 2, nothing written.

Bad data sets are in `tests/data/test_bad_input.py`.
"""

import os
import re
import sys
from pathlib import Path

import pytest

from metaug import __main__ as cli
from metaug import method
from metaug.config import DATA_ROOT_VARIABLE, config_file
from metaug.suite.plan import load_plan

NAN, INFINITY = float("nan"), float("inf")
SCALE = """
name: mine
trials: 2
datasets:
  digits_m: {image_size: 32, train_images: 200}
backbones:
  alexnet: {width: 0.0625}
spec: {augmentation: cmc, batch_size: 20, epochs: 2, learning_rate: 0.001}
"""


def simclr(**values):
    return {"overrides": {"simclr": values}}


# What Snakemake may hand over, from config/config.yaml or the command line, and the line it gives
CONFIGS = {
    # not a config
    "nothing": (None, r"config is None: it must be keys and values, as {key: value}"),
    "list": (["smoke"], r"config is \['smoke'\]: it must be keys and values, .*"),
    "unknown key": ({"trails": 3}, "config: unknown key 'trails'; did you mean 'trials'?"),
    "empty key": ({"": 3}, "config: unknown key ''; known: checkpoint_seconds, .*"),
    "number as key": ({5: 3}, "config: the key 5 must be text"),
    "key with a line break": ({"a\nb": 1}, r"config: unknown key 'a\\nb'; known: .*"),
    # scale
    "scale null": ({"scale": None}, "config: scale = None: it must be text"),
    "scale list": ({"scale": ["smoke"]}, r"config: scale = \['smoke'\]: it must be text"),
    "scale empty": ({"scale": ""}, "config: unknown scale ''; known: full, lite, smoke"),
    "scale elsewhere": ({"scale": "../x"}, r"config: unknown scale '\.\./x'; known: .*"),
    # where the data are
    "data_root number": ({"data_root": 5}, "config: data_root = 5: it must be text"),
    "data_root of nobody": (
        {"data_root": "~nobody-of-this-name/data"},
        "data_root '~nobody-of-this-name/data': there is no such home folder",
    ),
    "no sources": ({"sources": []}, r"config: sources = \[\]: it is empty: name at least one"),
    "sources null": ({"sources": None}, "config: sources = None: it must be a list, .*"),
    "source without brackets": (
        {"sources": "parquet"},
        r"config: sources = 'parquet': it must be a list, as \[parquet\]",
    ),
    "unknown source": (
        {"sources": ["parqet"]},
        "config: sources.0 = 'parqet': it must be 'parquet', 'folder' or 'torchvision'",
    ),
    # how many, which
    "trials 0": ({"trials": 0}, "config: trials = 0: it must be at least 1"),
    "trials 100,000": ({"trials": 100_000}, "config: trials = 100000: it must be at most 1000"),
    "trials beyond 64 bits": ({"trials": 10**30}, "config: trials = 10+: it must be at most 1000"),
    "trials in words": ({"trials": "two"}, "config: trials = 'two': it must be a whole number"),
    "trials 2.5": ({"trials": 2.5}, r"config: trials = 2\.5: it must be a whole number"),
    "trials yes": ({"trials": True}, "config: trials = True: it must be a number"),
    "no data sets": ({"datasets": []}, r"config: datasets = \[\]: it is empty: .*"),
    "unknown data set": (
        {"datasets": ["digits"]},
        r"data set digits not found; did you mean 'digits_m'\? .*",
    ),
    "data set with a name for no folder": (
        {"datasets": ["../x"]},
        r"data set name '\.\./x': it goes into paths and tables, so it must be .*",
    ),
    "data set like a known one": (
        {"datasets": ["CIFAR_10"]},
        "data set name 'CIFAR_10' is the same as the paper's 'cifar10' except for case, .*",
    ),
    "data set of another scale": (
        {"datasets": ["cifar10"]},
        "data set 'cifar10' is not part of scale 'smoke'; it has digits_m",
    ),
    "data set close to one of another scale": (
        {"datasets": ["cifar"]},
        r"data set cifar not found; did you mean 'cifar10'\? .* the folder that holds cifar/, .*",
    ),
    "no methods": ({"methods": []}, r"config: methods = \[\]: it is empty: name at least one"),
    "method without brackets": (
        {"methods": "simclr"},
        r"config: methods = 'simclr': it must be a list, as \[simclr\]",
    ),
    "number as method": ({"methods": [1]}, "config: methods.0 = 1: it must be text"),
    "unknown method": ({"methods": ["simclir"]}, "unknown method 'simclir'; .* 'simclr'?"),
    "method in HTML": (
        {"methods": ["<script>alert(1)</script>"]},
        r"unknown method '<script>alert\(1\)</script>'; known: .*",
    ),
    "method in LaTeX": (
        {"methods": [r"\input{/etc/passwd}"]},
        r"unknown method '\\\\input{/etc/passwd}'; known: .*",
    ),
    "method that colours a terminal": (
        {"methods": ["\x1b[31mred"]},
        r"unknown method '\\x1b\[31mred'; known: .*",
    ),
    # how it is run
    "device gpu": (
        {"device": "gpu"},
        "config: device = 'gpu': it must be auto, cpu, cuda or cuda:N",
    ),
    "device number": ({"device": 0}, "config: device = 0: it must be text"),
    "device with a line break": ({"device": "cpu\n"}, r"config: device = 'cpu\\n': it must be .*"),
    "no threads": ({"threads_per_job": 0}, "config: threads_per_job = 0: it must be at least 1"),
    "many threads": (
        {"threads_per_job": 10**6},
        "config: threads_per_job = 1000000: it must be at most 1024",
    ),
    "trials_per_job 0": ({"trials_per_job": 0}, "config: trials_per_job = 0: it must be at .*"),
    "precision maybe": (
        {"mixed_precision": "maybe"},
        "config: mixed_precision = 'maybe': it must be true or false",
    ),
    "time back": ({"checkpoint_seconds": -1}, "config: checkpoint_seconds = -1: it must be at .*"),
    "time nan": (
        {"checkpoint_seconds": NAN},
        "config: checkpoint_seconds = nan: it must be a finite number",
    ),
    # overrides
    "overrides null": ({"overrides": None}, "config: overrides = None: it must be keys and .*"),
    "overrides list": ({"overrides": ["a"]}, r"config: overrides = \['a'\]: it must be keys .*"),
    "override null": (
        {"overrides": {"simclr": None}},
        r"config: overrides\.simclr = None: it must be keys and values, as {key: value}",
    ),
    "override of a number": (
        {"overrides": {"simclr": {1: 2}}},
        r"config: overrides\.simclr\.1 = 1: it must be text",
    ),
    "override of an unknown method": (
        {"overrides": {"nobody": {}}},
        "unknown method 'nobody'; .*",
    ),
    "override of a method that is not run": (
        {"methods": ["random"], **simclr(temperature=-1)},
        "hyper-parameters of simclr: temperature = -1: it must be more than 0.0",
    ),
    "unknown hyper-parameter": (
        simclr(tempereture=1),
        r"overrides\.simclr: unknown hyper-parameter 'tempereture'; did you mean 'temperature'?",
    ),
    "close to what cannot be set": (
        simclr(method_versio=1),
        r"overrides\.simclr: unknown hyper-parameter 'method_versio'; known: .*",
    ),
    **{
        f"override of {key}": (
            simclr(**{key: value}),
            rf"overrides\.simclr: {key} cannot be set: {why}",
        )
        for key, value, why in (
            ("method_version", 7, "it says which code made a number"),
            ("protocol_version", 7, "it says which code made a number"),
            ("dataset", "../../x", "choose data sets with datasets"),
            ("scale", "full", "choose it with scale"),
            ("method", "byol", "choose methods with methods"),
            ("hyper", {"temperature": 1}, "give its hyper-parameters themselves"),
        )
    },
    "preset null": (simclr(preset=None), "simclr has no preset None; known: metaug, own"),
    "preset in brackets": (simclr(preset=["own"]), r"simclr has no preset \['own'\]; .* 'own'?"),
    "unknown preset": (simclr(preset="owm"), "simclr has no preset 'owm'; did you mean 'own'?"),
    "variant in brackets": (
        {"overrides": {"metaug": {"variant": ["released"]}}},
        r"hyper-parameters of metaug: variant = \['released'\]: it must be .*",
    ),
    "no views": (simclr(views=[]), r"spec of simclr: views = \[\]: it is empty: .*"),
    "views null": (simclr(views=None), "spec of simclr: views = None: it must be a list, .*"),
    "unknown view": (simclr(views=["rgbb"]), "simclr: unknown view 'rgbb'; did you mean 'rgb'?"),
    "view twice": (
        {"overrides": {"cmc": {"views": ["l", "l"]}}},
        "cmc: view 'l' is given twice",
    ),
    **{
        f"two views for {name}": (
            {"overrides": {name: {"views": ["l", "ab"]}}},
            f"{name} trains one encoder: give it one view, .*",
        )
        for name in ("simclr", "simclr_debiased", "simclr_hard", "byol")
    },
    "one view for two": (
        {"overrides": {"cmc": {"views": ["l"]}}},
        r"cmc contrasts views: give it at least two, not \('l',\)",
    ),
    "no augmentation": (simclr(augmentation=[]), "simclr: 0 augmentation recipes for 2 crops; .*"),
    "augmentation null": (simclr(augmentation=None), "spec of simclr: augmentation = None: .*"),
    "augmentation twice": (
        simclr(augmentation="crop+crop"),
        r"augmentation 'crop\+crop': 'crop' is given twice; give it once",
    ),
    "three recipes": (
        simclr(augmentation=["crop", "grey", "none"]),
        "simclr: 3 augmentation recipes for 2 crops; give one for all or one for each",
    ),
    "image too small": (simclr(image_size=4), "spec of simclr: image_size = 4: it must be at .*"),
    "image too large": (
        simclr(image_size=10**6),
        "spec of simclr: image_size = 1000000: it must be at most 1024",
    ),
    "width too large": (
        simclr(width=1e9),
        r"spec of simclr: width = 1000000000\.0: it must be at most 64\.0",
    ),
    "network too large": (
        simclr(width=32),
        r"simclr: its networks have [\d,]+ weights, more than [\d,]+: lower width, or .*",
    ),
    "head too large": (
        simclr(projector_hidden=2_000_000_000),
        r"simclr: its networks have [\d,]+ weights, more than [\d,]+: lower width, or .*",
    ),
    "head beyond 31 bits": (
        simclr(projector_hidden=10**12),
        "hyper-parameters of simclr: projector_hidden = 1000000000000: it must be at most .*",
    ),
    "rate beyond float32": (
        simclr(learning_rate=1e300),
        r"spec of simclr: learning_rate = 1e\+300: it must be at most 1e\+30",
    ),
    "rate infinite": (simclr(learning_rate=INFINITY), ".*learning_rate = inf: it must be a .*"),
    "rate nan": (simclr(learning_rate=NAN), ".*learning_rate = nan: it must be a finite number"),
    "rate yes": (simclr(learning_rate=True), ".*learning_rate = True: it must be a number"),
    "long text": (
        simclr(learning_rate="x" * 10_000),
        r"spec of simclr: learning_rate = 'x{59}\.\.\.: it must be a number",
    ),
    "epochs without end": (
        simclr(epochs=10**9),
        "spec of simclr: epochs = 1000000000: it must be at most 100000",
    ),
    "batch larger than the images": (
        simclr(train_images=40),
        "simclr: a batch of 64 is more than the 40 training images; lower batch_size",
    ),
    "probe null": (simclr(probe=None), "spec of simclr: probe = None: it must be keys and .*"),
    "unknown key of the probe": (
        simclr(probe={"epohcs": 2}),
        r"spec of simclr: unknown key 'probe\.epohcs'; did you mean 'epochs'?",
    ),
    "probe averages more than it has": (
        simclr(probe={"epochs": 2}),
        "simclr: the probe has 2 epochs, the last 20 of which are averaged; lower .*",
    ),
}

# Texts of config/config.yaml
CONFIG_FILES = {
    "no end": ("methods: [simclr", r"{config}, line 1 is not YAML: expected ',' or '\]', but .*"),
    "tab": ("scale: smoke\n\ttrials: 2\n", "{config}, line 2 is not YAML: .*"),
    "two colons": ("a: b: c\n", "{config}, line 1 is not YAML: mapping values are not .*"),
    "anchor that is not there": (
        "scale: *mine\n",
        "{config}, line 1 is not YAML: found .* alias.*",
    ),
    "Python object": (
        "scale: !!python/object/apply:os.mkdir [run]\n",
        "{config}, line 1 is not YAML: could not determine a constructor for the tag .*",
    ),
    "control character": ("scale: a\x07\n", "{config} is not YAML: .*special characters .*"),
    "another encoding": ("scale: größe\n".encode("latin-1"), "{config} is not UTF-8 text"),
    "list": ("- smoke\n", "{config}: write keys and values, as scale: smoke"),
    "nothing": ("", "{config}: write keys and values, as scale: smoke"),
    "one word": ("smoke\n", "{config}: write keys and values, as scale: smoke"),
    "impossible date": ("scale: 2020-99-99\n", "{config} is not YAML: month must be .*"),
    "deep": ("[" * 5000, "{config} is not YAML: .*"),
    "alias of itself": ("methods: &a [*a]\n", r"config: methods\.0 = \[\[\.\.\.\]\]: it .* text"),
    "brackets of another kind": ("overrides: {simclr: [1]}\n", r"config: overrides\.simclr = .*"),
}

# Changes of the text of a scale of one's own, config/scales/mine.yaml
SCALES = {
    "no file of a scale": (lambda text: "", "{scale} is None: it must be keys and values, .*"),
    "YAML cut short": (
        lambda text: text + "hyper: {",
        r"{scale}, line \d+ is not YAML: .*",
    ),
    "name of another scale": (
        lambda text: text.replace("mine", "smoke"),
        "{scale}: name = 'smoke': it must be that of the file, .*",
    ),
    "no trials": (lambda text: text.replace("trials: 2", ""), "{scale}: trials is missing"),
    "no data sets": (
        lambda text: re.sub(r"datasets:\n.*", "datasets: {}", text),
        r"{scale}: datasets = \{\}: it is empty: name at least one",
    ),
    "unknown data set": (
        lambda text: text.replace("digits_m", "digit_m"),
        "{scale}: unknown data set 'digit_m'; did you mean 'digits_m'?",
    ),
    "unknown backbone": (
        lambda text: text.replace("alexnet", "alexnt"),
        "{scale}: unknown backbone 'alexnt'; did you mean 'alexnet'?",
    ),
    "unknown hyper-parameter": (
        lambda text: text + "hyper: {negative: 32}\n",
        "{scale}: unknown hyper-parameter 'negative'; did you mean 'negatives'?",
    ),
    "unknown field": (
        lambda text: text.replace("epochs", "epoch"),
        "{scale}: unknown field of a spec 'epoch'; did you mean 'epochs'?",
    ),
    "version of the protocol": (
        lambda text: text.replace("epochs: 2", "epochs: 2, protocol_version: 1"),
        "{scale}: unknown field of a spec 'protocol_version'; known: .*",
    ),
    "negative size": (
        lambda text: text.replace("image_size: 32", "image_size: -32"),
        r"{scale}: datasets\.digits_m\.image_size = -32: it must be at least 8",
    ),
    "width null": (
        lambda text: text.replace("0.0625", "null"),
        r"{scale}: backbones\.alexnet\.width = None: it must be a number",
    ),
    "change of an unknown method": (
        lambda text: text + "methods: {simclir: {temperature: 1}}\n",
        "unknown method 'simclir'; did you mean 'simclr'?",
    ),
}

# Arguments of python -m metaug
ARGUMENTS = {
    "config without a value": (("--config", "trials"), "--config trials: write KEY=VALUE"),
    "config without a key": (("--config", "=3"), "config: unknown key ''; known: .*"),
    "config cut short": (("--config", "methods=[a"), r"'\[a' is not YAML: expected .*"),
    "path as scale": (("--scale", "/etc/passwd"), "config: unknown scale '/etc/passwd'; .*"),
}

# Names that a method of one's own must not have
METHOD_NAMES = ["<b>mine</b>", r"\input{x}", "mine_&_yours", "../mine", "Mine", "", "my method"]


@pytest.fixture(name="project")
def project_fixture(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    (folder / "config/scales").mkdir(parents=True)
    (folder / "config/config.yaml").write_text("scale: smoke\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    return folder


@pytest.fixture(name="refused")
def refused_fixture(tmp_path, project, capsys):
    """Call a function that must end with one line that matches and exit status 2."""

    def files():
        return sorted((path, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*"))

    def check(function, *arguments, expected):
        before = files()
        with pytest.raises(SystemExit) as stopped:
            function(*arguments)
        out, error = capsys.readouterr()
        assert (stopped.value.code, out) == (2, "")
        line = error.removesuffix("\n")
        assert line.isprintable()
        pattern = expected.replace("{config}", "config/config.yaml")
        pattern = pattern.replace("{scale}", "config/scales/mine.yaml").removesuffix("?")
        assert re.fullmatch(f"error: {pattern}[?]?", line), line
        assert files() == before

    return check


@pytest.mark.parametrize("case", CONFIGS)
def test_a_bad_config_is_refused(refused, case):
    values, expected = CONFIGS[case]
    refused(load_plan, values, expected=expected)


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_a_bad_config_file_is_refused(project, refused, monkeypatch, case):
    text, expected = CONFIG_FILES[case]
    data = text if isinstance(text, bytes) else text.encode()
    (project / "config/config.yaml").write_bytes(data)
    monkeypatch.setattr(sys, "argv", ["metaug", "show", "table1"])
    refused(cli.main, expected=expected)
    if "{config}" in expected:  # Snakemake would not say which file and line
        refused(config_file, expected=expected)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("x")])
def test_what_is_no_file_is_not_read(project, refused, monkeypatch, make):
    make(project / "config/scales/mine.yaml")
    refused(load_plan, {"scale": "mine"}, expected="cannot read {scale}: .* not a regular file")
    (project / "config/config.yaml").unlink()
    make(project / "config/config.yaml")
    monkeypatch.setattr(sys, "argv", ["metaug", "show", "table1"])
    refused(cli.main, expected="(cannot read|no) config/config.yaml.*")


GRIDS = {
    "table5.delta: [a]": r"table5.delta: \('a',\) are not all of type float",
    "figure4.batch_size: [64.9]": r"figure4.batch_size: \(64.9,\) are not all of type int",
    "table5.delta: []": "table5.delta has no value; leave the key out for the paper's",
    "table3.batch_size: [64, 128]": "table3.batch_size takes one value, not 2",
    "table4.sets: [1, 99]": "table4.sets: unknown 99; known: 1, 2, .*",
    "extra2.switches: [los]": "extra2.switches: unknown 'los'; did you mean 'loss'?",
    "figure4.methods: [simclrr]": "figure4.methods: unknown 'simclrr'; did you mean 'simclr'?",
    "figure3.decays: [1]": "figure3.decays is read by no .*; did you mean 'figure3.decay'?",
}
"""What an artefact of a scale of one's own runs over."""


@pytest.mark.parametrize("line", GRIDS)
def test_a_bad_grid_of_a_scale_is_refused(project, refused, line):
    text = SCALE.replace("batch_size: 20", "batch_size: 16") + f"grid: {{{line}}}\n"
    (project / "config/scales/mine.yaml").write_text(text)
    refused(load_plan, {"scale": "mine"}, expected=f"scale mine: grid.{GRIDS[line]}")


def test_a_grid_may_have_keys_of_artefacts_that_the_user_leaves_out():
    plan = load_plan({"scale": "lite", "methods": ["simclr"]})
    assert "figure7.gamma" in plan.scale.grid.keys() - plan.grid.keys_read


def test_a_grid_is_checked_without_the_methods_that_its_scale_cannot_train(project):
    text = SCALE.replace("image_size: 32", "image_size: 16") + "grid: {figure7.gamma: [0.4]}\n"
    (project / "config/scales/mine.yaml").write_text(text)
    with pytest.raises(SystemExit):
        load_plan({"scale": "mine", "methods": ["infomin"]})
    load_plan({"scale": "mine", "methods": ["simclr"]})


@pytest.mark.parametrize("case", SCALES)
def test_a_bad_scale_is_refused(project, refused, case):
    change, expected = SCALES[case]
    (project / "config/scales/mine.yaml").write_text(change(SCALE))
    refused(load_plan, {"scale": "mine"}, expected=expected)


def test_a_scale_of_ones_own_is_found(project):
    (project / "config/scales/mine.yaml").write_text(SCALE)
    plan = load_plan({"scale": "mine", "methods": ["random"], "datasets": ["digits_m"]})
    assert plan.scale.name == "mine"


def test_what_several_processes_cannot_train_is_refused(refused):
    plan = load_plan({"methods": ["random", "simclr", "moco"], "processes_per_job": 2})
    hashes = {spec.method: spec.hash for spec in plan.specs_of["table1"]}
    assert plan.training_data(hashes["random"])
    assert plan.training_data(hashes["simclr"])
    expected = "moco cannot be trained by 2 processes: set processes_per_job to 1, or choose .*"
    refused(plan.training_data, hashes["moco"], expected=expected)


def test_only_what_is_asked_for_is_checked(refused):
    plan = load_plan({"methods": ["simclr"], **simclr(train_images=200)})
    for spec in plan.specs_of["table1"]:
        assert [path.name for path in plan.training_data(spec.hash)] == ["manifest.json"]
    (large,) = (spec for spec in plan.specs_of["figure4"] if spec.batch_size == 256)
    expected = "simclr: a batch of 256 is more than the 200 training images; lower batch_size"
    refused(plan.training_data, large.hash, expected=expected)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_arguments_are_refused(refused, monkeypatch, case):
    arguments, expected = ARGUMENTS[case]
    monkeypatch.setattr(sys, "argv", ["metaug", "show", "table1", *arguments])
    refused(cli.main, expected=expected)


def test_a_bad_variable_of_the_environment_is_refused(refused, monkeypatch):
    monkeypatch.setenv(DATA_ROOT_VARIABLE, "~nobody-of-this-name")
    refused(load_plan, {}, expected="data_root '~nobody-of-this-name': there is no such .*")


@pytest.mark.parametrize("name", [*METHOD_NAMES, "simclr"])
def test_a_method_with_a_bad_name_is_refused(refused, tmp_path, monkeypatch, name):
    package = f"methods_{os.urandom(4).hex()}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "mine.py").write_text(
        f"from metaug.method import Method\n\n\nclass Mine(Method):\n    name = {name!r}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(method, "METHOD_PACKAGES", (*method.METHOD_PACKAGES, package))
    method.registered_methods.cache_clear()
    try:
        refused(
            load_plan,
            {},
            expected=r".*mine: another method is called 'simclr' too"
            if name == "simclr"
            else rf".*mine: the name {re.escape(repr(name))} of a method must be of small .*",
        )
    finally:
        method.registered_methods.cache_clear()
