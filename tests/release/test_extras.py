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
def test_the_readme_says_how_to_install_it(extra: str) -> None:
    named = re.findall(r"(?:\.|resilient-ws)\[([a-z0-9,]+)\]", README)
    assert extra in {name for names in named for name in names.split(",")}
