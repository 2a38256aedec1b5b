"""What holds for every registered method; a new file in `baselines` is found by itself."""

import ast
import copy
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from metaug.errors import UserError
from metaug.method import DataShape, build_method, registered_methods
from metaug.spec import TrialSpec
from metaug.training.checkpoint import CHECKPOINT
from metaug.training.loop import train

METHODS = registered_methods()
CASES = [
    *((name, {}) for name in METHODS),
    ("metaug", {"variant": "released"}),
    ("metaug", {"update_order": "simultaneous"}),
]
every_method = pytest.mark.parametrize("name", METHODS)
every_case = pytest.mark.parametrize("name, changes", CASES, ids=str)
every_trained_case = pytest.mark.parametrize(
    "name, changes", [case for case in CASES if METHODS[case[0]].trained], ids=str
)


def state_of(method):
    """Everything that a checkpoint holds, flat, as copies."""
    state = {name: value.clone() for name, value in method.state_dict().items()}
    for name, optimizer in getattr(method, "optimizers", {}).items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                state[f"{name}/{index}/{key}"] = torch.as_tensor(value).clone()
    return state


def differing(a, b):
    """Keys of two states whose values differ."""
    assert set(a) == set(b)
    return [key for key in a if not torch.equal(a[key], b[key])]


def floats(logs):
    return {key: float(value) for key, value in logs.items()}


@pytest.fixture
def images(training_set):
    return training_set.batch(torch.arange(6), torch.device("cpu")).float() / 255


@pytest.fixture
def update(make_batch):
    """Two steps of each pass of a method; returns what they logged."""

    def steps(method, first=1, **options):
        if not method.trained:
            return []
        numbered = [(first + i, p) for p in range(method.passes) for i in range(2)]
        return [
            method.update(make_batch(method, step=step, pass_index=p, **options))
            for step, p in numbered
        ]

    return steps


ROOT = Path(__file__).parents[1]
OUTSIDE = (
    *("snakemake", "pandas", "pathlib", "os", "io", "shutil", "tempfile"),
    *("metaug.files", "metaug.config", "metaug.grid", "metaug.training", "metaug.evaluation"),
    *("metaug.reporting", "metaug.paper", "metaug.extras", "metaug.suite"),
)
"""What a method must not know: files, the workflow, tables, and the packages above it."""

SOURCE = re.compile(
    r"\(choice|\(unverified|paper|[Rr]elease|quoted row|MetAug|SimCLR|MoCo|BYOL|Barlow Twins|SwAV"
    r"|SimSiam|NNCLR|CMC|DIM|NAT|BiGAN|DACL|LooC|HCL|lightly|bolts|PyContrast"
)
"""What a description of a hyper-parameter names: its value's source, or that it is a choice."""


@pytest.mark.parametrize(
    "file",
    [*sorted(ROOT.glob("baselines/*.py")), *sorted(ROOT.glob("metaug/algorithm/*.py"))],
    ids=lambda path: path.name,
)
def test_a_method_knows_nothing_of_files_the_workflow_or_tables(file):
    tree = ast.parse(file.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Name):
            assert node.id != "open"
    assert not [name for name in imported if any(f"{name}.".startswith(f"{o}.") for o in OUTSIDE)]


@every_method
def test_its_spec_reads_back_with_the_same_hash(name, make_spec):
    spec = make_spec(name)
    assert TrialSpec.model_validate_json(spec.canonical_json()).hash == spec.hash
    assert spec.method_version == METHODS[name].version


@every_method
def test_it_and_its_hyper_parameters_say_what_they_mean(name):
    kind = METHODS[name]
    assert kind.__doc__
    assert kind.Hyper.model_fields.keys().isdisjoint(TrialSpec.model_fields)
    for key, field in kind.Hyper.model_fields.items():
        assert field.description, f"{name}.{key} has no description"
        assert SOURCE.search(field.description), f"{name}.{key}: a source, or the mark (choice)"


@every_case
def test_weights_depend_on_the_seed_alone(name, changes, make_spec):
    spec, shape = make_spec(name, **changes), DataShape(24, 4)
    first = build_method(spec, shape, 1).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(77)
        again, other = (build_method(spec, shape, seed).state_dict() for seed in (1, 2))
    assert differing(first, again) == []
    assert any(key.startswith("encoders") for key in differing(first, other))


@every_case
def test_no_initial_weight_depends_on_the_global_random_state(name, changes, make_spec):
    """Each module draws under its own name: what one method has more does not shift the rest."""
    spec, shape = make_spec(name, **changes), DataShape(24, 4)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = build_method(spec, shape, 0).state_dict()
        torch.manual_seed(2)
        second = build_method(spec, shape, 0).state_dict()
    assert differing(first, second) == []


def test_methods_that_share_a_module_start_with_the_same_weights_of_it(make_spec):
    states = {
        name: build_method(make_spec(name), DataShape(24, 4), 3).state_dict() for name in METHODS
    }
    for shared, *names in (
        ("encoders.rgb.", "simclr", "byol", "moco", "looc", "supervised", "random"),
        ("encoders.ab.", "cmc", "cmc_hard", "metaug_oucl", "metaug", "metaug_mag"),
        ("projectors.", "cmc", "cmc_hard", "metaug_oucl", "metaug", "metaug_mag"),
        ("bank.", "cmc", "metaug_oucl", "metaug"),
        ("mags.", "metaug", "metaug_mag"),
    ):
        first = {k: v for k, v in states[names[0]].items() if k.startswith(shared)}
        assert first
        for name in names[1:]:
            assert all(torch.equal(states[name][key], value) for key, value in first.items()), name


@pytest.mark.parametrize(
    "name, copy, source",
    [
        ("moco", "key_network", "query_network"),
        ("infomin", "key_network", "query_network"),
        ("looc", "key_encoder", "encoder"),
        ("looc", "key_heads", "heads"),
    ],
)
def test_a_momentum_network_starts_as_a_copy(name, copy, source, make_spec):
    method = build_method(make_spec(name), DataShape(24, 4), 3)
    pairs = zip(
        getattr(method, copy).parameters(), getattr(method, source).parameters(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


@every_trained_case
def test_losses_are_finite_and_move_every_parameter(name, changes, make_spec, ready, update):
    method = ready(make_spec(name, **changes))
    before = state_of(method)
    logs = update(method)
    assert "loss" in logs[0]
    for values in logs:
        assert all(np.isfinite(value) for value in floats(values).values())
        assert not any(torch.as_tensor(value).requires_grad for value in values.values())
    assert all(torch.isfinite(value).all() for value in state_of(method).values())
    still = [
        key
        for key, p in method.named_parameters()
        if p.requires_grad and torch.equal(p, before[key])
    ]
    assert still == []


@every_trained_case
def test_a_pass_changes_nothing_but_what_it_trains(
    name, changes, make_spec, ready, make_batch, monkeypatch
):
    """Buffers too: no bank, no queue and no running statistics of the encoders in a pass that
    trains something else. (The released code does that; there it has a switch.)"""
    method = ready(make_spec(name, **changes))
    if changes.get("variant") == "released":
        return
    parts = {
        key: {
            name.partition(".")[0]
            for name, p in method.named_parameters()
            if any(p is other for group in optimizer.param_groups for other in group["params"])
        }
        for key, optimizer in method.optimizers.items()
    }
    stepped = []
    for key, optimizer in method.optimizers.items():
        original = optimizer.step
        monkeypatch.setattr(
            optimizer, "step", lambda key=key, step=original: stepped.append(key) or step()
        )
    for pass_index in range(method.passes):
        stepped.clear()
        before = {key: value.clone() for key, value in method.state_dict().items()}
        method.update(make_batch(method, pass_index=pass_index))
        changed = {key.partition(".")[0] for key in differing(before, method.state_dict())}
        assert stepped
        for key in set(method.optimizers) - set(stepped):
            assert changed.isdisjoint(parts[key])
        if "encoder" not in stepped:
            assert changed <= {part for key in stepped for part in parts[key]}


@every_trained_case
def test_equal_grey_images_give_finite_numbers(name, changes, make_spec, ready, update):
    """All embeddings are equal then, and their differences exactly zero."""
    method = ready(make_spec(name, **changes))
    for values in update(method, grey=True):
        assert all(np.isfinite(value) for value in floats(values).values())
    assert all(torch.isfinite(value).all() for value in state_of(method).values())


@every_trained_case
def test_mixed_precision_gives_nearly_the_same_loss(name, changes, make_spec, ready, update):
    """bfloat16 encoders; here on the CPU, in earnest on CUDA. Batch norm over two images would
    enlarge the rounding, so these batches are not split."""
    losses = []
    if "bn_splits" in METHODS[name].Hyper.model_fields:
        changes = {**changes, "bn_splits": 1}
    for mixed in (False, True):
        method = ready(make_spec(name, **changes))
        method.mixed_precision = mixed
        logs = update(method)
        assert all(np.isfinite(value) for values in logs for value in floats(values).values())
        assert all(p.dtype == torch.float32 for p in method.parameters())
        losses.append(float(logs[0]["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=0.1, abs=0.1)
    assert losses[1] != losses[0]


@every_trained_case
def test_all_its_state_is_in_parameters_buffers_and_optimisers(
    name, changes, make_spec, ready, update
):
    """What another object takes over from the state alone continues with identical numbers."""
    method, other = (ready(make_spec(name, **changes), seed) for seed in (0, 9))
    update(method)
    other.load_state_dict(method.state_dict())
    for key, optimizer in other.optimizers.items():
        optimizer.load_state_dict(copy.deepcopy(method.optimizers[key].state_dict()))
    logs = [[floats(values) for values in update(m, first=11)] for m in (method, other)]
    assert logs[0] == logs[1]
    assert differing(state_of(method), state_of(other)) == []


class Stop(Exception):
    """Stands for whatever ends a process in the middle of a training."""


@every_trained_case
def test_a_stopped_training_continues_bit_for_bit_and_trials_differ(
    name, changes, make_spec, training_set, tmp_path, replace_runtime, monkeypatch
):
    spec = make_spec(name, **changes)
    seldom, always = (replace_runtime(checkpoint_seconds=seconds) for seconds in (1e6, 0))
    expected, curve = train(spec, 0, training_set, tmp_path / "whole", seldom)
    original = METHODS[name].update

    def stopping(method, batch):
        if batch.step == 4:
            raise Stop
        return original(method, batch)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(METHODS[name], "update", stopping)
        train(spec, 0, training_set, tmp_path / "stopped", always)
    assert (tmp_path / "stopped" / CHECKPOINT).exists()
    resumed, again = train(spec, 0, training_set, tmp_path / "stopped", seldom)
    assert again == curve
    assert differing(state_of(resumed), state_of(expected)) == []
    _, other = train(spec, 1, training_set, tmp_path / "other", seldom)
    assert other != curve


@every_case
@pytest.mark.parametrize("backbone", ["alexnet", "resnet18"])
def test_its_representation_has_a_row_for_each_image_and_every_probe(
    name, changes, backbone, make_spec, ready, images
):
    try:
        spec = make_spec(name, backbone, **changes)
    except UserError as refusal:
        assert backbone == "resnet18" and backbone in str(refusal)
        pytest.skip(f"not defined there: {refusal}")
    method = ready(spec).eval()
    with torch.no_grad():
        readouts, again = method.representation(images), method.representation(images)
        scores = method.predict(images)
    layers = {"alexnet": ("conv", "fc6", "fc"), "resnet18": ("pool",)}[backbone]
    assert tuple(readouts)[: len(layers)] == layers
    others = {readout.partition(";")[0] for readout in readouts} - set(layers)
    assert others <= {"projection"}
    for readout, features in readouts.items():
        assert features.ndim == 2 and len(features) == 6 and features.shape[1] > 0, readout
        assert features.dtype == torch.float32, readout
        assert torch.isfinite(features).all(), readout
        assert torch.equal(features, again[readout]), readout
    if scores is not None:
        assert scores.shape == (6, 4)
        assert torch.isfinite(scores).all()


@every_case
def test_evaluation_sees_each_image_by_itself_and_changes_nothing(
    name, changes, make_spec, ready, update, images
):
    method = ready(make_spec(name, **changes))
    update(method)
    method.eval()
    before = state_of(method)
    with torch.no_grad():
        together = method.representation(images)
        two = method.representation(images[2:4])
        method.predict(images)
        summaries = method.summaries(images, torch.Generator().manual_seed(0))
    for readout, features in two.items():
        # the release probes its MAGs with the statistics of the batch
        if changes.get("variant") != "released" or ";" not in readout:
            torch.testing.assert_close(features, together[readout][2:4], rtol=1e-3, atol=1e-4)
    assert differing(before, state_of(method)) == []
    assert not any(module.training for module in method.modules())
    for numbers in summaries.values():
        assert all(np.isfinite(value) and type(value) is float for value in numbers.values())


def global_states():
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002 (the global one is meant)
    )


@every_case
def test_it_leaves_every_global_random_state_alone(name, changes, make_spec, ready, update, images):
    before = global_states()
    method = ready(make_spec(name, **changes))
    update(method)
    method.eval()
    with torch.no_grad():
        method.representation(images)
        method.predict(images)
        method.summaries(images, torch.Generator().manual_seed(0))
    assert global_states() == before
