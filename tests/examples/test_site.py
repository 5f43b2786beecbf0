"""The pages of the site: tests that they name exist, plots are of today's figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.page import Page, pages
from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT


NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
RELATIVE = re.compile(r"(?<!!)\]\((?!https?:|#)([^)\s#]+)(?:#[\w-]+)?\)")


@pytest.mark.parametrize("path", [p for p in pages() if NAMED.search(Page(p).text)])
def test_every_test_that_a_page_names_exists(path: str) -> None:
    for file, name in NAMED.findall(Page(path).text):
        assert (ROOT / file).exists(), file
        if name:
            text = (ROOT / file).read_text()
            assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE), name


@pytest.mark.parametrize("path", pages())
def test_every_link_to_a_file_leads_somewhere(path: str) -> None:
    """Sphinx checks those of the site; this is for the reader of the repository."""
    targets = set(
        RELATIVE.findall(re.sub(r"```.*?```", "", Page(path).text, flags=re.DOTALL))
    )
    folder = (ROOT / path).parent
    assert [one for one in targets if not (folder / one).exists()] == []


def test_every_promise_says_what_is_not_promised_and_how_it_was_shown() -> None:
    promises = [p for p in pages() if "/promises/" in p and "index" not in p]
    assert len(promises) == 5
    for path in promises:
        headings = re.findall(r"^## (.+)$", Page(path).text, re.MULTILINE)
        assert headings[1:] == ["What is not", "How it was shown"]


def test_every_page_of_measurements_is_on_the_page_of_all() -> None:
    measured = Page("docs/measured.md").text
    written = {
        Path(path).name
        for path in re.findall(r"docs/([\w/-]+\.md)", (ROOT / "Makefile").read_text())
    }
    told = {Path(target).name for target in RELATIVE.findall(measured)}
    assert written - told == {"measured.md"}


def test_the_plots_are_of_the_figures_beside_the_pages(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install --group docs")
    script = ROOT / "docs" / "tools" / "plots.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert drawn == {p.name: p.read_text() for p in ROOT.glob("docs/plots/*.svg")}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="pip install --group docs")
    built = subprocess.run(
        [
            *[sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"],
            *["-b", "html", "-d", str(tmp_path / "doctrees")],
            *[str(ROOT / "docs"), str(tmp_path / "site")],
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
    assert built.returncode == 0, built.stderr
    site = tmp_path / "site"
    index = (site / "llms.txt").read_text()
    listed = re.findall(r"^- \[.+?\]\(([\w/.-]+\.md)\)", index, re.MULTILINE)
    assert len(listed) > 50
    for page in listed:
        assert (site / page).with_suffix(".html").exists()
        assert (site / page).read_text()
    # What the search of the site looks in.
    terms = (site / "searchindex.js").read_text()
    assert "interruption" in terms
    assert "with_interrupt" in terms
    # The states are drawn on the page itself.
    assert (
        "<title>BACKOFF to CONNECTING</title>" in (site / "concepts.html").read_text()
    )


@pytest.mark.parametrize(
    "link",
    [
        "[a page](absent.md)",
        "[a heading](other.md#absent)",
        "[a heading here](#absent)",
        "[a heading of the README]({root}/README.md#absent)",
        "[a heading of what has a page of its own]({root}/CHANGELOG.md#absent)",
        "![a picture](absent.png)",
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(link: str, tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="pip install --group docs")
    pages = tmp_path / "pages"
    (pages / "project").mkdir(parents=True)
    (pages / "project" / "changelog.md").write_text("# Changelog\n")
    (pages / "other.md").write_text("# Other\n\n## Somewhere\n")
    index = pages / "index.md"
    sound = "# Index\n\n[a heading](other.md#somewhere)\n\n"
    index.write_text(sound + "```{toctree}\nother\nproject/changelog\n```\n")
    built = site_of(pages, tmp_path / "build")
    assert (built.returncode, built.stderr) == (0, "")

    root = os.path.relpath(ROOT, pages)
    index.write_text(index.read_text() + f"\n{link.format(root=root)}\n")
    built = site_of(pages, tmp_path / "build")
    assert built.returncode == 1
    (warning,) = (w for w in built.stderr.splitlines() if "WARNING" in w)
    assert "absent" in warning


def site_of(pages: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build other pages with the configuration of the site."""
    return subprocess.run(
        [
            *[sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html"],
            *["-c", str(ROOT / "docs"), str(pages), str(target)],
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_PATIENCE,
    )
