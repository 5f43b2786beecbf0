"""What the packages must contain and must not, shown on those that are spoiled."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from release.contents import bill_problems, problems, readme_problems
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="git says which files belong there"
)
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_what_is_built_is_right(built: tuple[Path, Path]) -> None:
    wheel, sdist = built
    assert problems(wheel) == []
    assert problems(sdist) == []


def plant(files: Files) -> None:
    files["tests/test_more.py"] = b""


def untype(files: Files) -> None:
    del files["resilient_ws/py.typed"]


def alter(files: Files) -> None:
    files["resilient_ws/session.py"] += b"\n"


def unlist(files: Files) -> None:
    del files[named("resilient-ws.cdx.json", files)]


def misbill(files: Files) -> None:
    name = named("resilient-ws.cdx.json", files)
    files[name] = files[name].replace(b'"library"', b'"something"')


def mistag(files: Files) -> None:
    name = named("WHEEL", files)
    files[name] = files[name].replace(b"py3-none-any", b"cp312-cp312-linux_x86_64")


def link(files: Files) -> None:
    files[named("METADATA", files)] += b"\nSee [the page](docs/page.md).\n"


def draw(files: Files) -> None:
    files[named("METADATA", files)] += b"\n```mermaid\nstateDiagram-v2\n```\n"


def named(end: str, files: Files) -> str:
    (name,) = (name for name in files if name.endswith(f"/{end}"))
    return name


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (plant, "tests/test_more.py is too much"),
        (untype, "py.typed is missing"),
        (alter, "resilient_ws/session.py is not that of the source"),
        (unlist, "sboms/resilient-ws.cdx.json is missing"),
        (misbill, "is no CycloneDX"),
        (mistag, "WHEEL does not say"),
        (link, "leads to docs/page.md"),
        (draw, "has a Mermaid diagram"),
    ],
)
def test_a_spoiled_wheel_is_found_out(
    built: tuple[Path, Path], tmp_path: Path, spoil: Callable[[Files], None], told: str
) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    spoil(files)
    spoiled = tmp_path / built[0].name
    with zipfile.ZipFile(spoiled, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    found = problems(spoiled)
    assert any(told in problem for problem in found), found


def test_the_bill_lists_what_is_installed_beside_it(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    bill = files[named("resilient-ws.cdx.json", files)].decode()
    assert list(bill_problems(bill)) == []
    assert '"pkg:pypi/aiohttp"' in bill
    assert '"pkg:pypi/typing-extensions"' in bill
    assert '"vers:pypi/>=' in bill


def test_a_readme_of_another_kind() -> None:
    metadata = b"Description-Content-Type: text/plain\n\nx\n"
    assert list(readme_problems(metadata)) == ["the README is not said to be Markdown"]
