"""Runs tests with the lowest versions of packages, in a process of their own."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.servers.process import output_of


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping


WANTED: Final = "RESILIENT_WS_LOWEST"
#: Seconds for a step.
TIME_LIMIT: Final = 240.0

#: Marks a test that calls ``assert_passes``.
downloads_packages: Final = pytest.mark.skipif(
    os.environ.get("CI") != "true" and WANTED not in os.environ,
    reason=f"downloads packages: {WANTED}=1 runs it",
)


async def assert_passes(
    suite: tuple[str, ...],
    versions: Mapping[str, str],
    folder: pathlib.Path,
    *,
    install: tuple[str, ...] = (),
    pytest_options: tuple[str, ...] = (),
) -> None:
    """Install packages into a folder, and run tests that find them first.

    A folder before this environment's packages is faster than another environment, and
    the test tools stay the same.
    """
    wanted = [f"{name}=={version}.*" for name, version in versions.items()]
    await output_of(
        sys.executable,
        *("-m", "pip", "--disable-pip-version-check", "--quiet", "install"),
        *(*install, "--target", str(folder), *wanted),
        within=TIME_LIMIT,
    )
    show = (
        "from importlib.metadata import version; "
        f"print(*map(version, {list(versions)}))"
    )
    shown = await output_of(
        sys.executable, "-c", show, within=TIME_LIMIT, PYTHONPATH=str(folder)
    )
    for found, version in zip(shown.split(), versions.values(), strict=True):
        assert f"{found}.".startswith(f"{version}."), shown
    output = await output_of(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *(*pytest_options, *suite),
        within=TIME_LIMIT,
        PYTHONPATH=str(folder),
    )
    assert re.search(r"\b[1-9]\d* passed", output), output
    assert "failed" not in output
