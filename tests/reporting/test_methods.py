"""The table of methods is the generated one."""

from pathlib import Path

from metaug.reporting.methods import methods_markdown

ROOT = Path(__file__).parents[2]


def test_docs_are_the_generated_ones() -> None:
    text = (ROOT / "docs/methods.md").read_text()
    assert text == methods_markdown(), "python -m metaug methods > docs/methods.md"
