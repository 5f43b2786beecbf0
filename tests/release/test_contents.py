"""What the packages must contain and must not, shown on those that are spoiled."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from release.contents import bill_problems, problems, readme_problems
from tests.release.compiler import needs_a_compiler
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="git says which files belong there"
)
Files = dict[str, bytes]


def build(folder: Path, *words: str, pure: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *words],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"RESILIENT_WS_PURE": pure},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel without a compiled part, and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder, pure="1")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def for_a_platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with a compiled part."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder, "--wheel", pure="0")
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_what_is_built_is_right(built: tuple[Path, Path]) -> None:
    wheel, sdist = built
    assert problems(wheel) == []
    assert problems(sdist) == []


@needs_a_compiler
def test_so_is_what_is_compiled(for_a_platform: Path) -> None:
    assert "-cp311-abi3-" in for_a_platform.name
    assert problems(for_a_platform) == []


def test_both_wheels_have_the_same_modules(
    built: tuple[Path, Path], for_a_platform: Path
) -> None:
    pure, compiled = (
        {name: content for name, content in read(wheel).items() if name.endswith(".py")}
        for wheel in (built[0], for_a_platform)
    )
    assert pure == compiled


def read(wheel: Path) -> Files:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


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


def unpurify(files: Files) -> None:
    name = named("WHEEL", files)
    files[name] = files[name].replace(b"Purelib: true", b"Purelib: false")


def compile_in(files: Files) -> None:
    files["resilient_ws/protocol/compiled.abi3.so"] = b"\x7fELF"


def keep_the_source(files: Files) -> None:
    files["resilient_ws/protocol/compiled.c"] = b""


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
        (mistag, "WHEEL does not say Tag: py3-none-any"),
        (unpurify, "WHEEL does not say Root-Is-Purelib: true"),
        (compile_in, "has 1 compiled libraries instead of 0"),
        (keep_the_source, "compiled.c is too much"),
        (link, "leads to docs/page.md"),
        (draw, "has a Mermaid diagram"),
    ],
)
def test_a_spoiled_wheel_is_found_out(
    built: tuple[Path, Path], tmp_path: Path, spoil: Callable[[Files], None], told: str
) -> None:
    files = read(built[0])
    spoil(files)
    found = problems(written(tmp_path / built[0].name, files))
    assert any(told in problem for problem in found), found


@needs_a_compiler
def test_a_wheel_for_a_platform_without_its_library_is_found_out(
    for_a_platform: Path, tmp_path: Path
) -> None:
    files = read(for_a_platform)
    del files["resilient_ws/protocol/compiled.abi3.so"]
    (told,) = problems(written(tmp_path / for_a_platform.name, files))
    assert "has 0 compiled libraries instead of 1" in told


@needs_a_compiler
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("-cp311-abi3-", "-cp312-cp312-", "is no tag of ours"),
        ("-linux_", "-win_", "WHEEL does not say Tag: cp311-abi3-win_"),
    ],
)
def test_so_is_one_of_another_name(
    for_a_platform: Path, tmp_path: Path, old: str, new: str, told: str
) -> None:
    name = for_a_platform.name.replace(old, new)
    found = problems(written(tmp_path / name, read(for_a_platform)))
    assert any(told in problem for problem in found), found


def test_the_bill_lists_what_is_installed_beside_it(built: tuple[Path, Path]) -> None:
    files = read(built[0])
    bill = files[named("resilient-ws.cdx.json", files)].decode()
    assert list(bill_problems(bill)) == []
    assert '"pkg:pypi/aiohttp"' in bill
    assert '"pkg:pypi/typing-extensions"' in bill
    assert '"vers:pypi/>=' in bill


def test_a_readme_of_another_kind() -> None:
    metadata = b"Description-Content-Type: text/plain\n\nx\n"
    assert list(readme_problems(metadata)) == ["the README is not said to be Markdown"]
