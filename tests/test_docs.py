"""The site of the documentation: it builds, and what is wrong in a page stops it."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

import metaug
from tests.conftest import script
from tests.reporting.test_report import Page

ROOT = Path(__file__).parents[1]
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
BUILD = script("docs/build.py")
SNAKEMAKE = get_argument_parser()


def build(root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "docs/build.py"], cwd=root, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the site is made of, and the site in it."""
    root = tmp_path_factory.mktemp("checkout")
    folders = ("docs", "metaug", "baselines", "benchmarks", "examples", ".github")
    for name in (*folders, "results/reference", "figures/reference"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("zensical.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, root / name)
    done = build(root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture
def damaged(checkout: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(checkout, tmp_path / "copy", ignore=shutil.ignore_patterns(".site", ".cache"))
    return tmp_path / "copy"


def pages_of(nav: list) -> list[str]:
    """The files in a navigation."""
    return [
        page
        for entry in nav
        for value in entry.values()
        for page in ([value] if isinstance(value, str) else pages_of(value))
    ]


def commands(program: str) -> list[str]:
    """The commands of this program in the console blocks of all pages."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text() for page in pages).replace("\\\n", " ")
    return re.findall(rf"^\$ ({program} .*)$", text, re.M)


@pytest.mark.parametrize("command", commands("snakemake"))
def test_snakemake_reads_every_command_as_it_is_meant(command: str) -> None:
    """A target behind `--resources` or `--config` would be taken for one of their values."""
    words = shlex.split(command, comments=True)[1:]
    given = SNAKEMAKE.parse_args(words)
    assert given.targets or given.profile or "--profile" in words
    assert all("=" not in target for target in given.targets)
    assert all("=" in setting for setting in given.config or ())


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {*BUILD.OTHER_PAGES.values()}
    listed = pages_of(SITE["nav"])
    assert sorted(listed) == sorted(pages)


def test_the_site_has_every_page_and_what_browsers_show(checkout: Path) -> None:
    folder = checkout / SITE["site_dir"]
    for page in pages_of(SITE["nav"]):
        assert (folder / page).with_suffix(".html").exists(), page
    assert (folder / "metaug.svg").exists()
    assert (folder / "files/baselines/byol.py.html").exists()
    for name in ("figures/reference/lite/dots1.png", "results/reference/lite/report.html"):
        assert (folder / "files" / name).read_bytes() == (ROOT / name).read_bytes()


def test_every_link_of_the_site_leads_to_a_file(checkout: Path) -> None:
    folder = (checkout / SITE["site_dir"]).resolve()
    pages = [path for path in folder.rglob("*.html") if path.name != "404.html"]
    links = 0
    for page in pages:
        found = Page(page.read_text())
        for address in (*found.hrefs, *found.sources):
            path = address.partition("#")[0].partition("?")[0]
            if path and not re.match(r"[a-z]+:|//", path):
                links += 1
                assert (page.parent / path).exists(), f"{page.name}: {address}"
    assert links > 500


def test_nothing_is_loaded_from_elsewhere(checkout: Path) -> None:
    for page in (checkout / SITE["site_dir"]).rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=[\"']?(https?:[^\"'\s>]+)", text)
        loaded += re.findall(r"<link[^>]*\bhref=[\"']?(https?:[^\"'\s>]+)[^>]*stylesheet", text)
        assert not loaded, page.name


def test_every_public_name_has_its_place_in_the_library_page(checkout: Path) -> None:
    text = (checkout / SITE["site_dir"] / "api.html").read_text()
    for name in metaug.__all__:
        assert re.search(rf'id="?metaug\.{name}["\s>]', text), name
    assert "&gt;&gt;&gt; " in text, "examples are shown as code"


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("[x](nowhere.md)", "error: docs/index.md: no file nowhere.md"),
        ("[x](../metaug/nowhere.py)", "error: docs/index.md: no file ../metaug/nowhere.py"),
        ("[x](../../etc/passwd)", "error: docs/index.md: no file ../../etc/passwd"),
        ("[x](verdicts.md#nowhere)", "anchor does not exist"),
        ("[x](#nowhere)", "anchor does not exist"),
        ("::: metaug.nowhere", "metaug.nowhere"),
    ],
)
def test_what_is_not_there_stops_the_build(damaged: Path, added: str, message: str) -> None:
    page = damaged / "docs/index.md"
    page.write_text(f"{page.read_text()}\n{added}\n")
    done = build(damaged)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.end_to_end
def test_a_docstring_of_a_parameter_that_is_not_there_stops_the_build(damaged: Path) -> None:
    file = damaged / "metaug/losses.py"
    file.write_text(file.read_text().replace("        sigma_pos: margin", "        sigma: margin"))
    done = build(damaged)
    assert done.returncode == 1
    assert "'sigma' does not appear in the function signature" in done.stdout
