"""The adapters hold with the lowest versions of the libraries that they adapt.

``pyproject.toml`` says which: the group ``tests`` has a lower bound for each, and the
package one for aiohttp. The newest are those of the environment that everything else is
tested in.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

import pytest

from tests.lowest import assert_passes, downloads_packages
from tests.servers.process import ROOT


if TYPE_CHECKING:
    import pathlib


pytestmark = pytest.mark.wire

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


@downloads_packages
async def test_the_adapters_hold_with_the_lowest_versions(
    tmp_path: pathlib.Path,
) -> None:
    # jsonrpc-websocket 3.1 asks aiohttp for what it has deprecated since.
    ignored = "ignore:client.loop property is deprecated:DeprecationWarning"
    await assert_passes(
        SUITE,
        lowest(),
        tmp_path / "lowest",
        install=("--no-deps",),
        pytest_options=("-W", ignored),
    )
