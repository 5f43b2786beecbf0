"""The seam and its bounds hold with the lowest versions that the package takes."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.servers.process import ROOT, output_of


if TYPE_CHECKING:
    import pathlib


pytestmark = pytest.mark.wire

WANTED = "RESILIENT_WS_LOWEST"
SUITE = (
    "tests/wire/test_seam.py",
    "tests/wire/test_shared_client.py",
    "tests/wire/test_hostile_answers.py",
)
TIME_LIMIT = 240.0


def lowest() -> dict[str, str]:
    """What pyproject.toml allows at least, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {}
    for requirement in project["dependencies"]:
        parts = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
        assert parts is not None, requirement
        found[parts[1]] = parts[2]
    return found


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and WANTED not in os.environ,
    reason=f"downloads packages: {WANTED}=1 runs it",
)
async def test_the_seam_holds_with_the_lowest_versions(
    tmp_path: pathlib.Path,
) -> None:
    # A folder that goes before this environment's packages: faster than another
    # environment, and the test tools stay the same.
    packages = tmp_path / "lowest"
    wanted = [f"{name}=={version}.*" for name, version in lowest().items()]
    await output_of(
        sys.executable,
        *("-m", "pip", "--disable-pip-version-check", "--quiet", "install"),
        *("--target", str(packages), *wanted),
        within=TIME_LIMIT,
    )
    names = ", ".join(repr(name) for name in lowest())
    show = f"from importlib.metadata import version as v; print(*map(v, [{names}]))"
    shown = await output_of(
        sys.executable, "-c", show, within=TIME_LIMIT, PYTHONPATH=str(packages)
    )
    for found, version in zip(shown.split(), lowest().values(), strict=True):
        assert f"{found}.".startswith(f"{version}."), shown
    output = await output_of(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE),
        within=TIME_LIMIT,
        PYTHONPATH=str(packages),
    )
    assert re.search(r"\b[1-9]\d* passed", output), output
    assert "failed" not in output
