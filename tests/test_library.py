"""`import metaug` as a library: its names, their examples, and how little it needs."""

import doctest
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

import metaug

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

STEP = """
import torch
from torch import nn
encoder, head = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 4)
mags = nn.ModuleList([metaug.MAG(4, 8), metaug.MAG(4, 8)])
theta = [*encoder.parameters(), *head.parameters()]
network, generators = torch.optim.SGD(theta, 0.1), torch.optim.Adam(mags.parameters())
logs = metaug.MetaStep(encoder, head, mags, network, generators).step(torch.randn(2, 5, 6).unbind())
assert all(value.isfinite() for value in logs.values())
"""


def run(program: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", metaug.__all__)
def test_every_public_name_has_an_example_that_runs(name):
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder(recurse=False).find(getattr(metaug, name), name, globs={}):
        runner.run(example)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.failures == 0


def test_the_public_names_are_listed_and_others_are_refused():
    assert set(metaug.__all__) <= set(dir(metaug))
    with pytest.raises(AttributeError, match="no attribute 'mag'"):
        _ = metaug.mag


def test_names_are_imported_when_they_are_asked_for():
    run("import sys, metaug; assert 'torch' not in sys.modules; metaug.MAG; import torch")


def plain(requirement: str) -> str:
    """The normalised name of the distribution that a requirement asks for."""
    name = re.split(r"[ ;<>=!~\[(]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions_of(names: list[str]) -> set[str]:
    """Distributions with these names and what they require here, extras aside, normalised."""
    found: set[str] = set()
    waiting = [plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            try:
                needed = requires(name) or []
            except PackageNotFoundError:  # for another system
                continue
            found.add(name)
            waiting += [plain(other) for other in needed if "extra ==" not in other]
    return found


def test_the_library_works_with_its_core_dependencies_alone():
    """A step in a process to which every package that the core does not require is missing."""
    core = distributions_of(PROJECT["dependencies"])
    missing = sorted(
        module
        for module, owners in packages_distributions().items()
        if not any(plain(owner) in core for owner in owners)
        and module not in ("metaug", "baselines")
    )
    assert {"pandas", "snakemake", "seaborn", "tensorboard", "matplotlib", "sklearn"} <= {*missing}
    assert not {"torch", "numpy", "pydantic"} & {*missing}
    run(f"import sys; sys.modules.update(dict.fromkeys({missing}))\nimport metaug{STEP}")
