"""Build the site of the documentation into `.site/html`: python docs/build.py

The pages are those of `docs/`, CONTRIBUTING.md, and one for every file of the repository that a
page links to (pictures and HTML are copied), so that links work on the site as they do in the
repository. Zensical builds them, strictly: a page or an anchor that is not there is an error. So is
a link to a missing file.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / ".site" / "pages"
"""Where zensical.toml has its `docs_dir`."""

OTHER_PAGES = {"CONTRIBUTING.md": "contributing.md"}
COPIED = (".png", ".svg", ".html")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".smk": "python"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)((?:#[^)\s]*)?)(?=\))")


class BrokenLink(Exception):
    """A page links to what is not in the repository."""


def stage(root: Path, pages: Path) -> None:
    """Write all pages into a folder, with links that hold there.

    Raises:
        BrokenLink: names the page and the link.
    """
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    sources = {path: path.name for path in sorted((root / "docs").glob("*.md"))}
    sources |= {root / name: page for name, page in OTHER_PAGES.items() if (root / name).exists()}
    for pattern in ("*.svg", "*.css"):
        for file in (root / "docs").glob(pattern):
            shutil.copy(file, pages)
    for path, page in sources.items():

        def placed(link: re.Match[str], path: Path = path) -> str:
            target = (path.parent / link[1]).resolve()
            if not target.is_file() or root not in target.parents:
                raise BrokenLink(f"{path.relative_to(root)}: no file {link[1]}")
            if target in sources:
                return sources[target] + link[2]
            if target.parent == root / "docs":
                return target.name
            return _file_page(root, target, pages)

        (pages / page).write_text(LINK.sub(placed, path.read_text()))


def _file_page(root: Path, file: Path, pages: Path) -> str:
    """Write the page of a file, or copy what browsers show as it is; its address."""
    name = file.relative_to(root).as_posix()
    if file.suffix in COPIED:
        copy = pages / "files" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
        return copy.relative_to(pages).as_posix()
    page = pages / "files" / f"{name.removeprefix('.')}.md"  # hidden folders would be left out
    page.parent.mkdir(parents=True, exist_ok=True)
    language = LANGUAGES.get(file.suffix, "text")
    page.write_text(f"# {name}\n\n````{language}\n{file.read_text()}````\n")
    return page.relative_to(pages).as_posix()


def main() -> int:
    """Build the site; exit status 1 if a page or a docstring is wrong."""
    try:
        stage(ROOT, PAGES)
    except BrokenLink as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout.partition("Traceback (most")[0], end="")
    # a docstring that documents what its function does not have is no error for Zensical
    return done.returncode or int("griffe:" in done.stdout)


if __name__ == "__main__":
    sys.exit(main())
