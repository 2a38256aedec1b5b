"""The first losses of every method, pinned.

A failure means that a method's numbers changed, and its recorded trials no longer belong to its
code. If that is intended, raise `version` in the method's class (or `PROTOCOL_VERSION` in
metaug/spec.py, if the numbers of every method changed) and record the new numbers with

    python -m pytest tests/test_golden.py --update-golden

The steps are few, small and on all images at once: the tiny networks of the tests are chaotic, and
after six steps at the usual rate another processor's rounding had changed some losses by per cents.
"""

import json

import pytest

from metaug.method import registered_methods
from metaug.training.loop import train

METHODS = registered_methods()
CASES = {name: (name, {}) for name, kind in METHODS.items() if kind.trained} | {
    "metaug;variant=released": ("metaug", {"variant": "released"}),
    "metaug;update_order=simultaneous": ("metaug", {"update_order": "simultaneous"}),
}
RECORD = "record them with: python -m pytest tests/test_golden.py --update-golden"
FIRST, LATER = 1e-3, 5e-3
"""Relative tolerance of the very first loss, and of what follows an update of the weights. With
other convolution kernels they were off by at most 1e-5 and 1.3e-3."""


def first_numbers(name, changes, make_spec, training_set, folder, runtime):
    """What two steps on all 24 images log: losses, and norms of the MAGs' gradients."""
    settings = {"batch_size": 24, "epochs": 2, "learning_rate": 0.001, **changes}
    if "queue_size" in METHODS[name].Hyper.model_fields:
        settings["queue_size"] = 48
    _, curve = train(make_spec(name, **settings), 0, training_set, folder, runtime)
    return [
        {k: v for k, v in epoch.items() if k.endswith(("loss", "gradient_norm"))} for epoch in curve
    ]


@pytest.mark.parametrize("case", CASES)
def test_the_first_losses_are_the_recorded_ones(
    case, make_spec, training_set, quiet_runtime, tmp_path, golden_path, request
):
    name, changes = CASES[case]
    steps = first_numbers(name, changes, make_spec, training_set, tmp_path, quiet_runtime)
    ours = {"version": METHODS[name].version, "steps": steps}
    golden = json.loads(golden_path.read_text()) if golden_path.exists() else {}
    if request.config.getoption("--update-golden"):
        golden = {key: golden[key] for key in golden if key in CASES} | {case: ours}
        golden_path.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")
        return
    assert case in golden, f"{name} has no golden numbers; {RECORD}"
    assert golden[case]["version"] == ours["version"], (
        f"{name} has a new version, its golden numbers are of the old one; {RECORD}"
    )
    for step, (new, old) in enumerate(zip(steps, golden[case]["steps"], strict=True)):
        assert set(new) == set(old), f"{name} logs other quantities; {RECORD}"
        for key, value in new.items():
            relative = FIRST if (step, key) == (0, "loss") else LATER
            slack = 1e-4 if key.endswith("loss") else 0.0
            assert value == pytest.approx(old[key], rel=relative, abs=slack), (
                f"the numbers of {name} changed: {key} of step {step} is {value}, was {old[key]}; "
                f"if that is intended, raise its version and {RECORD}"
            )


def test_no_golden_numbers_are_left_of_methods_that_are_gone(golden_path):
    assert set(json.loads(golden_path.read_text())) == set(CASES)
