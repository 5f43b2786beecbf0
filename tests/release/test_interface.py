"""A change of the public interface needs a line in CHANGELOG.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import griffe
import pytest

from release.interface import baseline, compared, git, names
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path


MODULE = """
def call(url: str, *, timeout: float = 1.0) -> None: ...

class Thing:
    limit: int = 3
    def ping(self, wait: float) -> float: ...
    def _inner(self) -> None: ...

def unexported() -> None: ...
"""
PACKAGE = """
from resilient_ws.module import Thing, call

__all__ = ["Thing", "call"]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small package of the same name, in git."""
    package = tmp_path / "resilient_ws"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "module.py").write_text(MODULE)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n- `Thing` is old.\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "--all")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    git(root, *who, "commit", "--quiet", "--allow-empty", "--message", "x")


def change(root: Path, old: str, new: str, *, file: str = "module.py") -> None:
    path = root / "resilient_ws" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def tell(root: Path, line: str) -> None:
    with (root / "CHANGELOG.md").open("a") as file:
        file.write(line)


def test_without_a_change_there_is_nothing_to_tell(repository: Path) -> None:
    assert compared(repository, "HEAD") == []


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        pytest.param(
            "timeout: float = 1.0", "limit: float = 1.0", "call", id="renamed"
        ),
        pytest.param("url: str, ", "url: str, name: str, ", "call", id="required"),
        pytest.param("timeout: float = 1.0", "timeout: float", "call", id="no default"),
        pytest.param("def ping", "def pong", "ping", id="a method is gone"),
        pytest.param("limit: int", "bound: int", "limit", id="an attribute is gone"),
        pytest.param("class Thing:", "def Thing():", "Thing", id="another kind"),
    ],
)
def test_a_planted_change_fails_until_a_line_names_it(
    repository: Path, old: str, new: str, word: str
) -> None:
    change(repository, old, new)
    (told,) = compared(repository, "HEAD")
    assert f"resilient_ws.{'call' if word == 'call' else 'Thing'}" in told
    tell(repository, "- Something else is better.\n")
    assert compared(repository, "HEAD") == [told]
    tell(repository, f"- `{word}` is not what it was.\n")
    assert compared(repository, "HEAD") == []


def test_a_name_that_is_gone_fails(repository: Path) -> None:
    change(repository, '__all__ = ["Thing", ', "__all__ = [", file="__init__.py")
    # Its line of an earlier release does not count.
    assert compared(repository, "HEAD") == ["resilient_ws.Thing is gone"]


def test_what_is_new_or_not_public_may_change(repository: Path) -> None:
    change(repository, "def unexported", "def other")
    change(repository, "def _inner", "def _other")
    change(repository, "timeout: float = 1.0", "timeout: float = 1.0, more: int = 0")
    assert compared(repository, "HEAD") == []


def test_it_is_compared_with_the_newest_release(repository: Path) -> None:
    assert baseline(repository) == "HEAD^"
    for tag in ("v0.9.0", "v0.10.0", "other"):
        git(repository, "tag", tag)
    assert baseline(repository) == "v0.10.0"
    change(repository, "def ping", "def pong")
    commit(repository)
    commit(repository)
    assert len(compared(repository, baseline(repository))) == 1


def test_the_names_are_those_that_users_import() -> None:
    package = griffe.load("resilient_ws", search_paths=[ROOT])
    assert isinstance(package, griffe.Object)
    found = names(package)
    for path in (
        "resilient_ws.connect",
        "resilient_ws.Session",
        "resilient_ws.codec.Coded",
        "resilient_ws.feeds.Channel",
        "resilient_ws.feeds.evm.heads",
        "resilient_ws.testing.FaultProxy",
    ):
        assert path in found
    assert "resilient_ws.inbox.InboxQueue" not in found
