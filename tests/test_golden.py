"""The first losses of every method, pinned.

A failure means that a method's numbers changed, and its recorded trials no longer belong to its
code. If that is intended, raise `version` in the method's class and record the new numbers with

    python -m pytest tests/test_golden.py --update-golden
"""

import json

import pytest

from metaug.method import registered_methods
from metaug.training.loop import train

METHODS = sorted(name for name, kind in registered_methods().items() if kind.trained)
TOLERANCE = 1e-3
"""Relative; other processors and thread counts round differently."""


@pytest.mark.parametrize("name", METHODS)
def test_first_losses_are_the_recorded_ones(
    name, make_spec, training_set, quiet_runtime, tmp_path, golden_path, request
):
    _, curve = train(make_spec(name), 0, training_set, tmp_path, quiet_runtime)
    kind = registered_methods()[name]
    ours = {"version": kind.version, "losses": [epoch["loss"] for epoch in curve]}
    golden = json.loads(golden_path.read_text()) if golden_path.exists() else {}
    if request.config.getoption("--update-golden"):
        golden[name] = ours
        golden_path.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")
        return
    assert name in golden, f"no golden numbers of {name}; record them with --update-golden"
    assert golden[name]["version"] == ours["version"], (
        f"{name} has a new version; record its numbers with --update-golden"
    )
    assert ours["losses"] == pytest.approx(golden[name]["losses"], rel=TOLERANCE), (
        f"the numbers of {name} changed; if that is intended, raise its version and record them "
        "with --update-golden"
    )
