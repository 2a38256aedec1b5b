import numpy as np
import pytest
import torch

from metaug.data.arrays import Split
from metaug.data.augment import Augmentation
from metaug.evaluation import features, protocol
from metaug.evaluation.features import cache_features, spread
from metaug.evaluation.knn import knn_accuracy
from metaug.evaluation.protocol import _some, evaluate
from metaug.seeds import generator

CPU = torch.device("cpu")
PROBE_METRICS = {
    "top1",
    "top1_last",
    "top1_best",
    "probe_train_top1",
    "knn_top1",
    "feature_std",
    "effective_rank",
}


@pytest.fixture
def test_split(training_set):
    """The training images upside down."""
    return Split(training_set.images[:, ::-1].copy(), training_set.labels.numpy())


@pytest.fixture
def run(make_spec, ready, training_set, test_split):
    def evaluated(name, trial=0, **changes):
        spec = make_spec(name, **changes)
        method = ready(spec)
        return method, evaluate(method, spec, trial, training_set, test_split, CPU).rows

    return evaluated


def values_of(rows, probe, setting=""):
    return {
        row["metric"]: row["value"]
        for row in rows
        if (row["probe"], row["setting"]) == (probe, setting)
    }


@pytest.mark.parametrize(
    "backbone, probes", [("alexnet", ["conv", "fc6", "fc"]), ("resnet18", ["pool"])]
)
def test_every_read_out_has_every_metric(run, backbone, probes):
    _, rows = run("simclr", backbone=backbone)
    assert all(list(row) == ["probe", "setting", "metric", "value"] for row in rows)
    assert all(type(row["value"]) is float for row in rows)
    assert list(dict.fromkeys(row["probe"] for row in rows)) == probes
    for probe in probes:
        assert set(values_of(rows, probe)) == PROBE_METRICS
    assert len(rows) == len(probes) * len(PROBE_METRICS)


def test_accuracies_are_per_cent(run):
    _, rows = run("simclr")
    for row in rows:
        if "top1" in row["metric"]:
            assert 0 <= row["value"] <= 100
            assert row["value"] * 24 / 100 == pytest.approx(round(row["value"] * 24 / 100))


def test_the_images_that_are_summarised_are_of_all_classes_where_a_split_is_sorted():
    images = np.zeros((1200, 1, 1, 3), dtype=np.uint8)
    by_class = Split(images, np.repeat(np.arange(4), 300))
    assert np.bincount(by_class.labels[_some(by_class, 500)]).tolist() == [125] * 4
    mixed = Split(images, np.tile(np.arange(4), 300))
    assert _some(mixed, 500) == slice(500)
    assert len(images[_some(by_class, 5000)]) == 1200


def test_metaug_is_probed_with_and_without_augmented_features_and_summarised(run):
    _, rows = run("metaug")
    settings = {(row["probe"], row["setting"]) for row in rows}
    assert settings == {
        ("conv", ""),
        ("fc6", ""),
        ("fc", ""),
        ("projection", ""),
        ("projection", "features=with_augmented"),
        *(
            ("", f"features={kind};pairs={sign}")
            for kind in ("original", "with_augmented")
            for sign in ("positive", "negative")
        ),
    }


def test_a_method_that_classifies_is_also_judged_end_to_end(run, test_split):
    method, rows = run("supervised")
    images = torch.from_numpy(test_split.images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        hits = method.predict(images).argmax(1) == torch.from_numpy(test_split.labels)
    expected = 100 * hits.float().mean().item()
    assert values_of(rows, "end_to_end")["top1"] == pytest.approx(expected)


def test_neighbours_and_spread_are_those_of_the_plain_features(run, training_set, test_split):
    """Also where the linear probe trains on augmented copies."""
    for copies in (0, 2):
        method, rows = run(
            "simclr",
            probe={"augmented_copies": copies, "neighbours": 3, "epochs": 2, "averaged_epochs": 1},
        )
        plain = Augmentation("none", 32)
        train, test = (
            cache_features(method, split.images, CPU, plain, torch.Generator())["fc"]
            for split in (training_set, test_split)
        )
        values = values_of(rows, "fc")
        labels = training_set.labels
        assert values["knn_top1"] == knn_accuracy((train, labels), (test, labels), 4, 3)
        assert values["effective_rank"] == pytest.approx(spread(test)["effective_rank"])


def test_augmented_copies_are_drawn_from_the_trial_and_differ(run, training_set, monkeypatch):
    seen, original = [], protocol.linear_probe

    def probe(train, *arguments):
        seen.append(train)
        return original(train, *arguments)

    monkeypatch.setattr(protocol, "linear_probe", probe)
    method, _ = run(
        "simclr", trial=3, probe={"augmented_copies": 2, "epochs": 2, "averaged_epochs": 1}
    )
    conv = seen[0]
    assert len(conv) == 2
    assert not torch.equal(conv[0][0], conv[1][0])
    expected = cache_features(
        method, training_set.images, CPU, Augmentation("cmc", 32), generator("copy", 3, 1)
    )
    assert torch.equal(conv[1][0], expected["conv"])
    assert all(torch.equal(labels, training_set.labels) for _, labels in conv)


def test_each_probe_of_each_trial_has_an_order_of_images_of_its_own(
    make_spec, ready, training_set, test_split, monkeypatch
):
    seeds, original = [], protocol.linear_probe

    def linear_probe(*given):
        seeds.append(given[4].initial_seed())
        return original(*given)

    monkeypatch.setattr(protocol, "linear_probe", linear_probe)
    spec = make_spec("simclr")
    for trial in (0, 1):
        evaluate(ready(spec), spec, trial, training_set, test_split, torch.device("cpu"))
    assert len(seeds) == 2 * 3
    assert len({*seeds}) == len(seeds)


def test_an_evaluation_repeats_itself_and_leaves_the_global_random_state(run):
    before = torch.get_rng_state()
    first, again = run("metaug")[1], run("metaug")[1]
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)


def test_the_method_is_left_in_eval_mode_with_its_state(make_spec, ready, training_set, test_split):
    spec = make_spec("metaug")
    method = ready(spec)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    evaluate(method, spec, 0, training_set, test_split, CPU)
    assert not any(module.training for module in method.modules())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


@pytest.mark.parametrize("copies", [0, 2])
def test_the_numbers_do_not_depend_on_what_fits_into_memory(run, monkeypatch, copies):
    probe = {"augmented_copies": copies, "neighbours": 3, "epochs": 2, "averaged_epochs": 1}
    expected = run("metaug", probe=probe)[1]
    monkeypatch.setattr(features, "MEMORY_LIMIT", 0)
    assert run("metaug", probe=probe)[1] == expected
