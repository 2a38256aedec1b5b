import re
from pathlib import Path

import pytest

from metaug.config import load_config
from metaug.paper import table1, table2, table3, table4, table5, table6
from metaug.paper.notes import dataset_notes, protocol_notes, stand_in_note
from metaug.reporting.names import power_of_ten
from tests.paper.synthetic import NOTHING, SCALES, plan_of

ROOT = Path(__file__).parents[2]
TRAINED = {
    table1: ("alexnet",),
    table2: ("resnet50",),
    table3: ("alexnet", "resnet50"),
    table4: ("alexnet",),
    table5: ("alexnet",),
    table6: ("resnet50",),
}


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


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("table", TRAINED)
def test_below_every_table_stands_what_the_paper_leaves_open(table, scale):
    footnotes = table.render(plan_of(scale).grid, NOTHING).footnotes
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
