"""The examples run in under a minute of one core, are short, and learn something."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "oucl_loop": (40, "accuracy"),
    "metaug_resnet18": (60, "shifted digits"),
    "metaug_lightly": (60, "accuracy"),
}
"""How many lines an example may have, and what it prints before the accuracy that rises."""


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_its_loss_falls_and_its_accuracy_rises(name):
    path = ROOT / "examples" / f"{name}.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, env=environment, check=True
    )
    losses, accuracies = (
        [float(value) for value in re.findall(rf"{what} (\d\.\d+)", run.stdout)]
        for what in ("loss", EXAMPLES[name][1])
    )
    assert losses[-1] < 0.98 * losses[0]
    assert accuracies[-1] > accuracies[0] + 0.05


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name):
    lines = (ROOT / "examples" / f"{name}.py").read_text().splitlines()
    assert len(lines) <= EXAMPLES[name][0]


def test_every_example_is_tested():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)
