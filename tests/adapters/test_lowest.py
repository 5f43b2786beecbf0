"""The adapters hold with the lowest versions of the libraries that they adapt.

``pyproject.toml`` says which: the group ``tests`` has a lower bound for each, and the
package one for aiohttp. The newest are those of the environment that everything else is
tested in.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Final

import pytest

from tests.servers.process import ROOT, output_of


if TYPE_CHECKING:
    import pathlib


pytestmark = pytest.mark.wire

WANTED: Final = "RESILIENT_WS_LOWEST"
TIME_LIMIT: Final = 240.0
HOSTS: Final = (
    "aiohttp",
    "hass-client",
    "jsonrpc-websocket",
    "python-socketio",
    "websockets",
)
#: Of its own age, with the lowest of the libraries that need it.
WITH: Final = {"python-engineio": "4.9", "jsonrpc-base": "2.2"}
SUITE: Final = (
    "tests/adapters/test_aiohttp.py",
    "tests/adapters/test_host_libraries.py",
    "tests/adapters/test_websockets.py",
)


def lowest() -> dict[str, str]:
    """What the group of the tests allows at least, by name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = dict(WITH)
    for requirement in (
        *settings["project"]["dependencies"],
        *settings["dependency-groups"]["tests"],
    ):
        parts = re.match(r"([\w-]+)(?:\[[\w-]+\])?>=([\d.]+)", str(requirement))
        if parts is not None and parts[1] in HOSTS:
            found[parts[1]] = parts[2]
    assert set(found) == {*HOSTS, *WITH}
    return found


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and WANTED not in os.environ,
    reason=f"downloads packages: {WANTED}=1 runs it",
)
async def test_the_adapters_hold_with_the_lowest_versions(
    tmp_path: pathlib.Path,
) -> None:
    packages = tmp_path / "lowest"
    wanted = [f"{name}=={version}.*" for name, version in lowest().items()]
    await output_of(
        sys.executable,
        *("-m", "pip", "--disable-pip-version-check", "--quiet", "install"),
        *("--no-deps", "--target", str(packages), *wanted),
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
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        # jsonrpc-websocket 3.1 asks aiohttp for what it has deprecated since.
        *("-W", "ignore:client.loop property is deprecated:DeprecationWarning"),
        *SUITE,
        within=TIME_LIMIT,
        PYTHONPATH=str(packages),
    )
    assert re.search(r"\b[1-9]\d* passed", output), output
    assert "failed" not in output
