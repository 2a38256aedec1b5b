"""What the tests of the core share: the smallest scale, images made by arithmetic, runs."""

import dataclasses
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import optim

from metaug.config import Config, Scale
from metaug.data.views import VIEWS
from metaug.grid import Grid
from metaug.method import Batch, DataShape, build_method
from metaug.seeds import draws_of
from metaug.training.images import TrainingSet
from metaug.training.runtime import Runtime

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
BATCH_SIZE = 8
IMAGES = 24
CLASSES = 4

TINY = {
    "name": "tiny",
    "trials": 1,
    "datasets": {"digits_m": {"image_size": 32}},
    "backbones": {name: {"width": 1 / 16} for name in ("alexnet", "resnet18", "resnet50")},
    "spec": {
        "augmentation": "cmc",
        "batch_size": BATCH_SIZE,
        "epochs": 2,
        "learning_rate": 0.03,
        "schedule": "cosine",
    },
    "hyper": {
        "negatives": 16,
        "queue_size": 16,
        "prototypes": 8,
        "feature_dim": 16,
        "projector_hidden": 32,
        "predictor_hidden": 16,
        "mag_hidden": 32,
    },
    "probe": {"epochs": 2, "averaged_epochs": 1, "neighbours": 3},
}


def script(path: str) -> ModuleType:
    """A script of the repository that is in no package, as a module."""
    spec = spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SLOW = (
    "benchmarks/test_looks.py",
    "benchmarks/test_verdicts.py",
    "evaluation/test_linear_probe.py::test_top1",
    "extras/test_extra5.py",
    "models/test_differentiation.py::test_double_backward_of_heads",
    "models/test_resnet.py::test_a_narrow",
    "models/test_resnet.py::test_width_one",
    "paper/test_artefacts.py::test_a_number_that_is_missing",
    "paper/test_artefacts.py::test_a_stand_in",
    "paper/test_artefacts.py::test_every_query_of_a_table",
    "paper/test_artefacts.py::test_tables_have_no_character",
    "paper/test_artefacts.py::test_the_scale_is_named",
    "paper/test_artefacts.py::test_what_is_trained_is_shown",
    "paper/test_claims.py",
    "paper/test_dots1.py",
    "paper/test_figure2.py",
    "paper/test_figure4.py::test_every_point",
    "paper/test_figure6.py",
    "paper/test_table1.py::test_every_cell",
    "paper/test_table3.py::test_the_stand_in",
    "paper/test_user_data.py",
    "reporting/test_report.py::test_in_a_browser",
    "reporting/test_scorecard.py",
    "reporting/test_statistics.py::test_noise_alone",
    "reporting/test_statistics.py::test_the_interval_of_a_range",
    "reporting/test_style.py",
    "suite/test_budget.py",
    "suite/test_bundle.py::test_another_checkout",
    "suite/test_cluster.py::test_memory",
    "suite/test_cost.py",
    "suite/test_doctor.py",
    "suite/test_helpers.py",
    "suite/test_job.py",
    "suite/test_screen.py::test_no_start_of_snakemake",
    "suite/test_speed.py",
    "suite/test_summary.py",
    "test_algorithm.py::test_bank_updates",
    "test_algorithm.py::test_flipping_a_hyper_parameter",
    "test_algorithm.py::test_looking_at_the_gradient_share",
    "test_algorithm.py::test_the_mags_move",
    "test_algorithm.py::test_updates_of_running_statistics",
    "test_algorithm_oracle.py",
    "test_bad_input.py::test_a_bad_config_file",
    "test_cli.py",
    "test_docs.py",
    "test_examples.py",
    "test_library.py",
    "test_meta.py::test_the_first_meta_step_of_a_process",
    "test_meta_step.py::test_losses_fall",
    "test_meta_step.py::test_on_the_suites_modules",
    "test_methods_contract.py::test_a_stopped_training",
    "test_methods_contract.py::test_methods_that_share",
    "test_methods_learn.py",
    "test_packaging.py::test_the_command_line_asks_for_the_suite",
    "test_reference.py",
    "training/test_equal_draws.py",
    "training/test_loop.py::test_a_checkpoint_that_does_not_fit",
    "training/test_loop.py::test_a_training_stopped_anywhere",
    "training/test_loop.py::test_crops_are_the_same",
    "training/test_loop.py::test_every_batch_is_a_piece",
    "training/test_loop.py::test_passes_of_an_epoch",
    "training/test_loop.py::test_the_bank_starts",
    "training/test_loop.py::test_the_learning_rate",
    "training/test_parallel.py",
    "training/test_provenance.py",
    "workflow/",
)
"""What `make quick` leaves out: beginnings of the tests' names, from this folder on."""

OF_EVERY_METHOD = ("test_golden.py", "test_methods_contract.py")
QUICK_METHODS = ("random", "simclr", "metaug_oucl")
"""Those that `make quick` puts to the tests of every method."""


def pytest_collection_modifyitems(items):
    for item in items:
        slow = item.nodeid.removeprefix("tests/").startswith(SLOW)
        if item.path.name in OF_EVERY_METHOD and "callspec" in vars(item):
            given = item.callspec.params
            slow |= given.get("name", given.get("case", "simclr")) not in QUICK_METHODS
        if slow:
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the numbers of tests/test_golden.py instead of comparing with them",
    )


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the configuration, in which nothing has been run."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan(project):
    """The plan of `smoke` in such a folder, for two methods."""
    # here, because it takes a second or two: few tests need it
    from metaug.suite.plan import load_plan

    return load_plan({"methods": ["random", "simclr"]})


@pytest.fixture(scope="session")
def make_spec():
    """The spec of a method at the smallest scale, complete as the workflow makes it."""

    def make(method, backbone="alexnet", **changes):
        grid = Grid(Scale.model_validate(TINY), Config())
        return grid.spec(method, "digits_m", backbone, **changes)

    return make


@pytest.fixture(scope="session")
def training_set():
    """Images (24, 32, 32, 3) of four classes, every pixel by integer arithmetic."""
    number, y, x, channel = np.ogrid[:IMAGES, :32, :32, :3]
    label = number % CLASSES
    waves = (3 + label) * y + (5 + number % 7) * x + 60 * channel + 29 * number
    images = (waves + (x * y * (1 + number % 3)) // 4) % 256
    return TrainingSet(
        images.astype(np.uint8), torch.from_numpy(label.flatten().astype(np.int64)), CLASSES
    )


@pytest.fixture(scope="session")
def make_batch(training_set):
    """The input of step `step` of a method, as the training loop makes it."""

    def make(method, step=1, size=BATCH_SIZE, pass_index=0, seed=0, grey=False):
        draws = draws_of(seed, step, pass_index)
        rows = torch.randperm(IMAGES, generator=draws("rows"))[:size]
        images = training_set.batch(rows, torch.device("cpu"))
        if grey:
            images = torch.full_like(images, 128)
        return Batch(
            crops=method.augment(images, draws),
            index=rows,
            labels=training_set.labels[rows],
            epoch=0,
            pass_index=pass_index,
            step=step,
            progress=0.25,
            draws=draws,
        )

    return make


@pytest.fixture(scope="session")
def ready():
    """A method as the training loop has it before the first step."""

    def build(spec, trial=0):
        return build_method(spec, DataShape(IMAGES, CLASSES), trial).train()

    return build


class Recorder(optim.SGD):
    """Plain SGD that keeps the gradients it was given."""

    def step(self):
        self.gradient = [p.grad.clone() for group in self.param_groups for p in group["params"]]
        super().step()


@dataclasses.dataclass(frozen=True)
class GivenViews(Batch):
    """A batch whose views are given."""

    given: dict

    def views(self, names, crop=0):
        return {name: self.given[name] for name in names}


@pytest.fixture(scope="session")
def metaug(make_spec):
    """A method of MetAug's family with recording optimisers, and what makes its batches: 16 images
    of noise out of 40, in float64 or another type.

    The weights are such that every term matters (at the published 1e-5 and 1e-11 nothing would be
    tested) and the rates so large that the second-order term is most of the MAGs' gradient.
    """
    rates = {"encoder": 0.05, "mag": 0.1}
    strong = {
        "delta": 0.5,
        "alpha": 0.3,
        "margin_positive_weight": 0.7,
        "inner_learning_rate": rates["encoder"],
    }

    def build(method="metaug", dtype=torch.float64, backbone="alexnet", pass_index=0, **changes):
        own = {} if method == "metaug_oucl" else strong
        settings = {"image_size": 16, "negatives": 48, **own, **changes}
        built = build_method(make_spec(method, backbone, **settings), DataShape(40, 4), trial=0)
        built.train().to(dtype)
        groups = {"encoder": list(built.encoder_parameters().values())}
        if method != "metaug_oucl":
            groups["mag"] = list(built.mags.parameters())
        built.optimizers = {name: Recorder(group, rates[name]) for name, group in groups.items()}

        def batch(step=1):
            generator = torch.Generator().manual_seed(step)
            index = torch.randperm(40, generator=generator)[:16]
            views = {
                v: torch.randn(16, VIEWS[v], 16, 16, generator=generator).to(dtype)
                for v in built.spec.views
            }
            draws = draws_of("given", step)
            return GivenViews((), index, index % 4, 0, pass_index, step, 0.25, draws, views)

        return built, batch

    return build


@pytest.fixture
def quiet_runtime():
    """A run on the CPU without progress bar, a checkpoint after every step."""
    return Runtime(torch.device("cpu"), checkpoint_seconds=0, progress=False)


@pytest.fixture
def replace_runtime(quiet_runtime):
    """The quiet runtime with changes."""
    return lambda **changes: dataclasses.replace(quiet_runtime, **changes)


@pytest.fixture(scope="session")
def golden_path():
    return Path(__file__).with_name("golden.json")
