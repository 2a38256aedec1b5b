import math
import re
from pathlib import Path

import pandas as pd
import pytest

from metaug.config import load_config
from metaug.paper import table1, table2, table3, table4, table5, table6
from metaug.paper.cells import (
    dataset_notes,
    dataset_of,
    datasets_of,
    derived,
    difference,
    intervals_by,
    protocol_notes,
    scale_of,
    settings_by,
    stand_in_note,
)
from metaug.reporting.aggregate import cell
from metaug.reporting.names import power_of_ten
from tests.paper.synthetic import NOTHING, SCALES, frame_of, plan_of, tidy

KEYS = {"method": "metaug", "probe": "fc", "metric": "top1"}
DEFAULTS = {"alpha": 1e-11, "beta": 16}
ROOT = Path(__file__).parents[2]
TRAINED = {
    table1: ("alexnet",),
    table2: ("resnet50",),
    table3: ("alexnet", "resnet50"),
    table4: ("alexnet",),
    table5: ("alexnet",),
    table6: ("resnet50",),
}


def results(*settings):
    """MetAug on CIFAR-10 fc with these settings; the i-th has accuracy i."""
    return tidy(
        ("metaug", "cifar10", "alexnet", "fc", setting, "top1", float(i))
        for i, setting in enumerate(settings)
    )


def test_what_a_setting_leaves_out_is_at_the_default():
    frame = results("", "beta=32", "alpha=1e-13", "alpha=1e-13;beta=32")
    assert settings_by(frame, DEFAULTS, **KEYS) == {
        (1e-11, 16): "",
        (1e-11, 32): "beta=32",
        (1e-13, 16): "alpha=1e-13",
        (1e-13, 32): "alpha=1e-13;beta=32",
    }


def test_settings_that_differ_in_other_keys_are_not_of_this_family():
    frame = results("", "beta=32;order=none", "augmentation=crop", "delta=0.1")
    assert settings_by(frame, DEFAULTS, **KEYS) == {(1e-11, 16): ""}


def test_rows_of_other_cells_do_not_count():
    frame = results("beta=32")
    assert settings_by(frame, DEFAULTS, **{**KEYS, "probe": "conv"}) == {}
    assert settings_by(frame, DEFAULTS, **{**KEYS, "method": "cmc"}) == {}


def test_words_and_view_names_are_values_too():
    frame = results("", "views=l|ab", "margin_gradient=True")
    assert settings_by(frame, {"views": "rgb|l|ab"}, **KEYS) == {
        ("rgb|l|ab",): "",
        ("l|ab",): "views=l|ab",
    }
    assert ("True",) in settings_by(frame, {"margin_gradient": "False"}, **KEYS)


def test_where_the_user_overrode_the_default_nothing_is_mistaken_for_it():
    """With beta=8 for all of MetAug, the default spec has setting "" and beta=16 is named."""
    frame = results("", "alpha=1e-13", "beta=16", "alpha=1e-13;beta=16", "beta=32")
    assert settings_by(frame, DEFAULTS, **KEYS) == {
        (1e-11, 16): "beta=16",
        (1e-13, 16): "alpha=1e-13;beta=16",
        (1e-11, 32): "beta=32",
    }


def test_intervals_are_those_of_the_cells():
    frame = results("", "beta=32")
    found = intervals_by(frame, DEFAULTS, **KEYS)
    assert found[1e-11, 32].mean == 1
    assert found[1e-11, 32].specs == ("000000000001",)


def test_nothing_run_gives_nothing():
    assert settings_by(NOTHING, DEFAULTS, **KEYS) == {}
    assert scale_of(NOTHING) == ""
    assert datasets_of(NOTHING, "cifar10", "stl10") == ("cifar10", "stl10")


def test_data_sets_of_the_paper_come_first_then_what_there_is():
    frame = tidy(
        ("cmc", dataset, "alexnet", "fc", "", "top1", 1.0) for dataset in ("digits_m", "stl10")
    )
    assert datasets_of(frame, "cifar10", "stl10") == ("stl10",)
    assert dataset_of(frame, "imagenet") == "digits_m"


def test_a_stand_in_is_named():
    assert stand_in_note(("cifar10",), ("cifar10", "stl10")) == ()
    (note,) = stand_in_note(("digits_m",), ("cifar10", "stl10"))
    assert note.startswith("Digits-M stands in for CIFAR-10 and STL-10")


def test_data_sets_without_a_column_are_named():
    wanted = ("cifar10", "stl10", "cifar100")
    (note,) = dataset_notes(("cifar10",), wanted)
    assert "left out" in note
    assert note.endswith("STL-10 and CIFAR-100.")
    assert dataset_notes(("cifar10", "cifar100"), ("cifar10", "cifar100")) == ()
    assert dataset_notes(("digits_m",), wanted) == stand_in_note(("digits_m",), wanted)


def test_where_stl10_is_shown_its_unlabeled_images_are_spoken_of():
    (note,) = dataset_notes(("cifar10", "stl10"), ("cifar10", "stl10"))
    assert note.startswith("STL-10's unlabeled images are not used")


@pytest.mark.parametrize("scale", ["", *SCALES])
@pytest.mark.parametrize("table", TRAINED)
def test_below_every_table_stands_what_the_paper_leaves_open(table, scale):
    footnotes = table.render(frame_of(scale, table) if scale else NOTHING).footnotes
    notes = protocol_notes(scale, *TRAINED[table])
    assert footnotes[-len(notes) :] == notes
    assert footnotes[: len(table.FOOTNOTES)] == table.FOOTNOTES


def test_the_notes_name_what_the_paper_leaves_open():
    notes = " ".join(protocol_notes("lite", "alexnet", "resnet50"))
    for matter in (
        "image size",
        "epochs",
        "learning rate",
        "weight decay",
        "Adam",
        "number of negatives",
        "a bank or a queue",
        "conv5",
        "fc7",
        "half width",
        "Eq. 10",
        "linear probe",
        "docs/methods.md",
        "intervals",
    ):
        assert matter in notes


@pytest.mark.parametrize("scale", SCALES)
def test_the_notes_refer_to_the_file_that_sets_what_they_speak_of(scale):
    notes = " ".join(protocol_notes(scale, "alexnet"))
    (path,) = set(re.findall(r"config/scales/\w+\.yaml", notes))
    _, found = load_config({"scale": scale}, (ROOT / path).parent)
    assert found.name == Path(path).stem
    assert {"epochs", "learning_rate", "weight_decay", "optimizer"} <= found.spec.keys()
    assert found.spec["optimizer"] == "adam"
    assert found.probe.averaged_epochs == 20
    assert (ROOT / "docs" / "methods.md").is_file()


@pytest.mark.parametrize("scale", SCALES)
def test_the_notes_have_the_values_that_metaug_is_trained_with(scale):
    (dataset, *_) = plan_of(scale).scale.datasets
    hyper = plan_of(scale).grid.spec("metaug", dataset).hyper
    notes = " ".join(protocol_notes(scale))
    found = re.search(r"Eq\. 10 with β = (\S+) and γ = (\S+), .* δ = (\S+) .* α = (\S+);", notes)
    assert found
    assert hyper["loss"] == "oucl"
    assert [float(number) for number in found.groups()[:2]] == [hyper["beta"], hyper["gamma"]]
    assert [*found.groups()[2:]] == [power_of_ten(hyper[key]) for key in ("delta", "alpha")]


def test_differences_are_paired_by_trial():
    frame = results("", "order=none")
    more = frame.assign(trial=1, seed=1001, value=frame["value"] * 10 + 5)
    alone = frame.iloc[[0]].assign(trial=2, seed=1002, value=99.0)
    frame = pd.concat([frame, more, alone], ignore_index=True)
    found = difference(frame, "order=none", "", method="metaug", probe="fc", metric="top1")
    assert (found.mean, found.n) == (pytest.approx((1 + 10) / 2), 2)
    assert found.specs == ("000000000001", "000000000000")


def test_a_derived_interval_leads_to_all_its_trainings():
    frame = results("", "beta=32")
    parts = [cell(frame, setting=setting, **KEYS) for setting in ("", "beta=32")]
    found = derived(frame.set_index("trial")["value"], parts)
    assert found.specs == ("000000000000", "000000000001")
    assert not math.isnan(found.mean)
