"""The seam and its bounds hold with the lowest versions that the package takes."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.lowest import assert_passes, downloads_packages
from tests.servers.process import ROOT


if TYPE_CHECKING:
    import pathlib


pytestmark = pytest.mark.wire

SUITE = (
    "tests/wire/test_seam.py",
    "tests/wire/test_shared_client.py",
    "tests/wire/test_hostile_answers.py",
)


def lowest() -> dict[str, str]:
    """What pyproject.toml allows at least, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {}
    for requirement in project["dependencies"]:
        parts = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
        assert parts is not None, requirement
        found[parts[1]] = parts[2]
    return found


@downloads_packages
async def test_the_seam_holds_with_the_lowest_versions(
    tmp_path: pathlib.Path,
) -> None:
    await assert_passes(SUITE, lowest(), tmp_path / "lowest")
