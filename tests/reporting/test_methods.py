"""The table of methods is the generated one, and says what a method minimises."""

import inspect
from pathlib import Path

import pytest

from metaug.method import registered_methods
from metaug.reporting.methods import loss_functions, methods_markdown

ROOT = Path(__file__).parents[2]


def test_docs_are_the_generated_ones() -> None:
    text = (ROOT / "docs/methods.md").read_text()
    assert text == methods_markdown(), "metaug methods > docs/methods.md"


@pytest.mark.parametrize(
    ("method", "losses"),
    [
        ("random", set()),
        ("simclr", {"nt_xent_loss"}),
        ("simclr_hard", {"hard_negative_loss"}),
        ("cmc", {"contrastive_loss"}),
        ("cmc_debiased", {"debiased_logit_loss"}),
        ("swav_hard", {"swav_loss", "hard_negative_loss"}),
        ("dim", {"dim_jsd_loss", "dim_infonce_loss", "prior_losses"}),
        ("bigan", {"bigan_losses"}),
        ("metaug_nnclr", {"oucl_loss", "margin_regularization"}),
        ("metaug_oucl", {"contrastive_loss", "pooled_loss"}),  # its hyper-parameter `loss` chooses
    ],
)
def test_losses_are_those_that_a_step_uses(method: str, losses: set[str]) -> None:
    found = loss_functions(registered_methods()[method])
    assert {function.__name__ for function in found} == losses


@pytest.mark.parametrize("method", registered_methods())
def test_every_method_has_its_loss_its_presets_and_its_whole_docstring(method: str) -> None:
    kind = registered_methods()[method]
    text = methods_markdown()
    (row,) = (line for line in text.splitlines() if line.startswith(f"| [`{method}`](#{method})"))
    section = text.split(f'<a id="{method}"></a>')[1].split("<a id=")[0]
    assert (inspect.getdoc(kind) or "") in section
    assert ("\nLoss `" in section) is kind.trained
    assert (" none " in row) is not kind.trained
    for preset in kind.presets:
        assert f", {preset} |" in row
        assert f"Preset `{preset}`" in section
