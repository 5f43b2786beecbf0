"""Every extra is documented where a user decides what to install."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

import pytest

from tests.servers.process import ROOT


PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: Final[dict[str, Any]] = PYPROJECT["project"]["optional-dependencies"]
README: Final = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_readme_says_what_it_is_for(extra: str) -> None:
    _, _, table = README.partition("| extra | for |\n")
    rows = re.findall(r"^\| (`[^|]*) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert f"`{extra}`" in ", ".join(rows).split(", ")
