"""docs/claims.md says what the code decides."""

from pathlib import Path

import pytest

from metaug.paper.claims import CLAIMS
from metaug.paper.claims_page import claims_markdown

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"


def test_the_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == claims_markdown(), "metaug claims > docs/claims.md"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_says_what_must_hold(claim) -> None:
    section = PAGE.read_text().split(f"\n## {claim.id} · {claim.where}\n")[1].split("\n## ")[0]
    assert f"> {claim.sentence}\n" in section
    assert claim.parts.__doc__.splitlines()[0] in section


def test_the_claims_that_the_papers_own_means_do_not_satisfy_are_marked() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.endswith("| **no** |")]
    assert [row.split("](")[0].removeprefix("| [") for row in rows] == ["C3", "C4"]
