"""Which versions are the lowest that may be installed."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from release.lowest import constraints, lowest
from tests.servers.process import ROOT


def test_the_highest_of_the_lower_bounds_counts() -> None:
    found = map(Requirement, ("a>=1.2", "b>=3,<4", "a>=1.10", "a>=1.3"))
    assert lowest(found, "3.12") == {"a": Version("1.10"), "b": Version("3")}


def test_what_another_python_needs_does_not() -> None:
    found = [Requirement("a>=1"), Requirement("a>=2; python_version >= '3.13'")]
    assert lowest(found, "3.12") == {"a": Version("1")}
    assert lowest(found, "3.13") == {"a": Version("2")}


def test_a_bound_is_needed() -> None:
    with pytest.raises(ValueError, match="has no lower bound"):
        lowest([Requirement("a<3")], "3.12")


def test_those_of_the_project() -> None:
    lines = constraints("3.12").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in project["dependencies"]:
        assert word.replace(">=", "==") in lines
    assert any(line.startswith("msgspec==") for line in lines)
    assert not any(line.startswith("pytest==") for line in lines)


def test_a_group_raises_bounds_and_adds_none() -> None:
    without = dict(line.split("==") for line in constraints("3.12").splitlines())
    with_tests = dict(
        line.split("==") for line in constraints("3.12", "tests").splitlines()
    )
    assert with_tests.keys() == without.keys()
    assert Version(with_tests["web3"]) > Version(without["web3"])
