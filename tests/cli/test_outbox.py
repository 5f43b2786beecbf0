"""The command shows what is inside a durable outbox, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import Outbox, SQLiteStore


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOWHERE = "ws://127.0.0.1:1234"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@contextlib.asynccontextmanager
async def session(path: Path) -> AsyncIterator[resilient_ws.Session]:
    """A session that is never open."""
    async with resilient_ws.connect(
        NOWHERE, wait_open=False, outbox=Outbox(store=SQLiteStore(path))
    ) as session:
        yield session


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "resilient_ws.cli", "outbox", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_it_lists_and_exports_also_while_in_use(path: Path) -> None:
    async with session(path) as ours:
        await ours.send("first\n\x1b[2J", message_id="a1")
        await ours.send(b"\0\xff", ttl=3600)
        await ours.send("x" * 1000)
        before = sorted(path.parent.iterdir())
        listed = run(str(path))
        exported = run(str(path), "--json")
        assert sorted(path.parent.iterdir()) == before
    lines = listed.stdout.splitlines()
    assert len(lines) == 3
    assert "id a1" in lines[0]
    assert "\\x1b[2J" in lines[0]
    assert "\x1b" not in listed.stdout
    assert "expires 2" in lines[1]
    assert len(lines[2]) < 120
    assert listed.stderr == exported.stderr == "3 messages wait\n"
    first, second, third = map(json.loads, exported.stdout.splitlines())
    assert (first["text"], first["message_id"]) == ("first\n\x1b[2J", "a1")
    assert (second["base64"], second["message_id"]) == ("AP8=", None)
    assert second["expires_at"] - second["accepted_at"] == pytest.approx(3600, abs=1)
    assert third["text"] == "x" * 1000
    assert third["transmissions"] == 0


async def test_it_shows_what_was_set_aside(path: Path) -> None:
    async with session(path) as ours:
        await ours.send("one")
        await ours.send("two")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE messages SET accepted_at = 'x' WHERE id = 1")
        connection.commit()
    async with session(path):
        pass
    before = path.read_bytes()
    listed = run(str(path))
    assert path.read_bytes() == before
    two, one = listed.stdout.splitlines()
    assert "two" in two
    assert "SET ASIDE" in one
    assert listed.stderr == "1 message waits, 1 set aside\n"


async def test_a_thousand_lines_into_a_pipe_that_closes(path: Path) -> None:
    async with session(path) as ours:
        for _ in range(300):
            await ours.send("x" * 1000)
    piped = subprocess.run(
        f"{sys.executable} -m resilient_ws.cli outbox --json {path} | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(piped.stdout)["sequence"] == 1
    assert piped.stderr == ""


async def test_a_terminal_with_few_characters_shows_the_others_escaped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(path) as ours:
        await ours.send("grüße")
        await ours.send("next")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    listed = run(str(path))
    assert listed.returncode == 0
    first, second = listed.stdout.splitlines()
    assert first.endswith("gr\\xfc\\xdfe")
    assert second.endswith("next")


def test_what_is_no_outbox_is_said_in_one_line(path: Path) -> None:
    missing = run(str(path))
    assert missing.returncode == 2
    assert missing.stderr == f"resilient-ws: There is no file {path}.\n"
    path.write_text("dear diary\n" * 100)
    foreign = run(str(path))
    assert foreign.returncode == 2
    assert "is not a store of resilient_ws" in foreign.stderr
    assert len(foreign.stderr.splitlines()) == 1
    assert foreign.stdout == missing.stdout == ""
