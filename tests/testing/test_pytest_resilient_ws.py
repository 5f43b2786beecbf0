"""The fixtures for pytest, in a pytest of their own: there when used, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.record import PROGRAM_PATIENCE
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from pathlib import Path

#: As the entry point loads it; -p, since a checkout may be older than its metadata.
PLUGIN = ("-p", "pytest_resilient_ws")

USING = """
import resilient_ws


async def test_a_bot(no_leaks, scripted_server, fault_proxy):
    proxy = await fault_proxy(scripted_server.port)
    async with resilient_ws.connect(proxy.url("/feed"), wait_open=False) as session:
        peer = await scripted_server.accept()
        await session.send("hello")
        await peer.expect("hello")
"""

LEAKING = """
import asyncio

import pytest


@pytest.mark.asyncio
async def test_leaks(no_leaks):
    asyncio.current_task().kept = asyncio.create_task(asyncio.sleep(100))
"""

MISBEHAVING = """
import asyncio


async def test_misbehaves(scripted_server):
    _, writer = await asyncio.open_connection("127.0.0.1", scripted_server.port)
    writer.write(b"POST / HTTP/1.1\\r\\n\\r\\n")
    await asyncio.sleep(0.05)
    writer.close()
"""

IN_NEED = """
def test_in_peace():
    pass

def test_in_need(scripted_server):
    pass
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PROGRAM_PATIENCE,
        check=False,
    )


def pytest_of(
    code: str, folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(code)
    # Or pytest would look for its settings in every folder above.
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = (*PLUGIN, "-p", "no:cacheprovider", *options)
    return python("-m", "pytest", "-q", *options, "test_it.py", cwd=folder)


def test_the_entry_point_names_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {
        "pytest_resilient_ws": "pytest_resilient_ws"
    }


def test_loading_it_imports_nothing_of_the_library(tmp_path: Path) -> None:
    code = """
def test_nothing():
    import sys
    assert not {"resilient_ws", "aiohttp", "attrs"} & sys.modules.keys()
"""
    done = pytest_of(code, tmp_path)
    assert done.returncode == 0, done.stdout


def test_its_fixtures_work(tmp_path: Path) -> None:
    scope = "asyncio_default_fixture_loop_scope=function"
    options = ("-o", "asyncio_mode=auto", "-o", scope, "-W", "error")
    done = pytest_of(USING, tmp_path, *options)
    assert "1 passed" in done.stdout, done.stdout


def test_its_fixtures_work_in_strict_mode(tmp_path: Path) -> None:
    code = USING.replace("async def", "@pytest.mark.asyncio\nasync def")
    done = pytest_of("import pytest" + code, tmp_path, "-o", "asyncio_mode=strict")
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("code", "text"),
    [(LEAKING, "tasks left pending"), (MISBEHAVING, "Clients broke the protocol")],
    ids=["leaking", "misbehaving"],
)
def test_its_fixtures_fail_a_test(code: str, text: str, tmp_path: Path) -> None:
    done = pytest_of(code, tmp_path, "-o", "asyncio_mode=auto")
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert text in done.stdout


def test_without_pytest_asyncio_only_its_fixtures_fail(tmp_path: Path) -> None:
    (tmp_path / "pytest_asyncio.py").write_text("raise ImportError(__name__)")
    done = pytest_of(IN_NEED, tmp_path, "-p", "no:asyncio")
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "The fixture scripted_server needs pytest-asyncio" in done.stdout
    assert "pip install 'pytest-asyncio>=1.4'" in done.stdout


def test_its_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    done = pytest_of("", tmp_path, "--fixtures")
    for name in ("no_leaks", "scripted_server", "fault_proxy"):
        assert f"{name} -- " in done.stdout
