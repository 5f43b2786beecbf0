"""What is compiled for a wheel: the same bytes each time, or nothing and no failure."""

from __future__ import annotations

import re
import sys
import sysconfig
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pytest

from hatch_build import COMPILED_FOR, PACKAGE, SOURCE, compiled, put_beside_its_source
from tests.release.compiler import IN_CI, needs_a_compiler
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Patch = pytest.MonkeyPatch


def copied(folder: Path, *, also: str = "") -> Path:
    """Return a root that holds a copy of what is compiled."""
    (folder / PACKAGE).mkdir(parents=True)
    (folder / SOURCE).write_text(also + (ROOT / SOURCE).read_text())
    return folder


@needs_a_compiler
def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    first = compiled(ROOT, tmp_path / "first")
    second = compiled(copied(tmp_path / "elsewhere"), tmp_path / "second")
    assert first is not None
    assert second is not None
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def fails(patch: Patch) -> None:
    patch.setenv("CC", "/bin/false")


def is_missing(patch: Patch) -> None:
    patch.setenv("CC", "/nonexistent/cc")


def is_not_wanted(patch: Patch) -> None:
    patch.setenv("RESILIENT_WS_PURE", "1")


def belongs_to_pypy(patch: Patch) -> None:
    patch.setattr(sys, "implementation", SimpleNamespace(name="pypy"))


def belongs_to_a_python_without_the_lock(patch: Patch) -> None:
    known = sysconfig.get_config_var
    patch.setattr(
        sysconfig,
        "get_config_var",
        lambda name: 1 if name == "Py_GIL_DISABLED" else known(name),
    )


@pytest.mark.parametrize(
    "compiler",
    [
        fails,
        is_missing,
        is_not_wanted,
        belongs_to_pypy,
        belongs_to_a_python_without_the_lock,
    ],
)
def test_without_a_compiler_nothing_is_built_and_nothing_fails(
    tmp_path: Path, monkeypatch: Patch, compiler: Callable[[Patch], None]
) -> None:
    with monkeypatch.context() as patch:
        compiler(patch)
        assert compiled(ROOT, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_neither_does_it_without_headers(tmp_path: Path) -> None:
    root = copied(tmp_path / "source", also="#include <missing_Python.h>\n")
    assert compiled(root, tmp_path / "made") is None


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a library that another Python left there."""
    package = tmp_path / "package"
    package.mkdir()
    for name in ("compiled.c", "compiled.pyi", "compiled.cpython-39-darwin.so"):
        (package / name).write_text("old")
    return package


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SOURCES: Final = {"compiled.c", "compiled.pyi"}


def test_a_new_library_replaces_every_old_one(tmp_path: Path, package: Path) -> None:
    library = tmp_path / "compiled.abi3.so"
    library.write_text("new")
    put_beside_its_source(library, package)
    assert names(package) == {*SOURCES, library.name}
    assert (package / library.name).read_text() == "new"


def test_an_old_one_is_removed_where_there_is_no_new_one(package: Path) -> None:
    put_beside_its_source(None, package)
    assert names(package) == SOURCES


def test_a_folder_that_cannot_be_written_to_stays_as_it_is(
    tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "compiled.cpython-39-darwin.so").unlink()
    library = tmp_path / "compiled.abi3.so"
    library.write_text("new")
    # Root may write everywhere; that there is a folder in the way stops root, too.
    (package / f".{library.name}").mkdir()
    put_beside_its_source(library, package)
    assert names(package) == {*SOURCES, f".{library.name}"}
    assert "pure Python instead" in capsys.readouterr().out


def test_an_old_one_that_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    stuck = tmp_path / "compiled.abi3.so"
    stuck.mkdir()  # a folder is in the way of root, too
    with pytest.raises(OSError, match=r"compiled\.abi3\.so was compiled from another"):
        put_beside_its_source(None, tmp_path)


@pytest.mark.skipif(not IN_CI, reason="make says that there is no compiler")
def test_beside_its_source_is_one_of_that_source() -> None:
    (library,) = (
        path for path in (ROOT / PACKAGE).glob("compiled.*") if path.suffix == ".so"
    )
    made_of = [ROOT / SOURCE, ROOT / "hatch_build.py"]
    newest = max(path.stat().st_mtime for path in made_of)
    assert library.stat().st_mtime >= newest, "make compiled builds it again"


def test_it_is_for_the_oldest_python_that_is_supported() -> None:
    version = re.search(r"Py_LIMITED_API 0x03(..)0000", (ROOT / SOURCE).read_text())
    assert version is not None
    assert f"cp3{int(version[1], 16)}-abi3" == COMPILED_FOR
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
    assert COMPILED_FOR.startswith("cp311-")
