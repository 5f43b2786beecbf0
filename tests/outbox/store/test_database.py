"""On a full disk nothing more is accepted, and everything that was is sent."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import Liveness, Outbox, SQLiteStore, State, StoreError
from resilient_ws.outbox.store.files import RESERVE_SIZE, Reserve
from resilient_ws.testing.scripts import hold
from tests.outbox.disks import small_disk
from tests.outbox.refusals import offline
from tests.outbox.stores import inside
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer

MIB = 1024 * 1024
DISK = 5 * MIB

#: Both ways to let go of what was sent: before it is written, and after its answer.
WAYS: dict[str, dict[str, Any]] = {
    "at most once": {},
    "at least once": {"confirm": "pong", "resend": True, "confirm_interval": 0.01},
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    with small_disk(tmp_path / "disk", DISK) as folder:
        yield folder


def fill(disk: Path) -> None:
    """Have another program take all that is left."""
    others = (disk / "others.log").open("ab", buffering=0)
    with others, contextlib.suppress(OSError):
        while True:
            others.write(bytes(4096))
    assert os.statvfs(disk).f_bavail == 0


async def sends_all(session: Session, size: int) -> tuple[list[str], StoreError]:
    """Send until the store takes no more; return what was accepted, and the error."""
    accepted: list[str] = []
    while True:
        text = f"{len(accepted):<{size}}"
        try:
            await session.send(text)
        except StoreError as failure:
            return accepted, failure
        accepted.append(text)


def online(server: ScriptedServer, path: Path, **outbox: Any) -> Session:
    server.play(hold)
    return resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=SQLiteStore(path), max_messages=50_000, **outbox),
        liveness=Liveness(ping_interval=None),
    )


async def drains(
    server: ScriptedServer, path: Path, accepted: list[str], **outbox: Any
) -> None:
    """Check that a session on a full disk sends all that waits, once and in order."""
    session = online(server, path, **outbox)
    events = recorded(session)
    async with session:
        await until(lambda: session.statistics().outbox_messages == 0)
        await until(lambda: not session.outstanding())
    assert server.received == accepted
    assert not of(events, resilient_ws.DeliveryFailed)
    assert inside(SQLiteStore(path)) == []


@pytest.mark.parametrize("size", [20, 1000, 200_000])
@pytest.mark.parametrize("way", WAYS)
async def test_a_reopened_session_drains(
    server: ScriptedServer, disk: Path, way: str, size: int
) -> None:
    path = disk / "outbox.db"
    async with online_never(server, path, **WAYS[way]) as session:
        accepted = await fills(session, disk, size)
    fill(disk)
    await drains(server, path, accepted, **WAYS[way])


@pytest.mark.parametrize("size", [20, 1000, 200_000])
@pytest.mark.parametrize("way", WAYS)
async def test_a_session_drains_that_finds_its_disk_full(
    server: ScriptedServer, disk: Path, way: str, size: int
) -> None:
    path = disk / "outbox.db"
    session = online_never(server, path, **WAYS[way])
    events = recorded(session)
    async with session:
        accepted = await fills(session, disk, size)
        fill(disk)
        server.play(hold)
        session.retry_now()
        await session.wait_until(State.OPEN)
        await until(lambda: session.statistics().outbox_messages == 0)
        await until(lambda: not session.outstanding())
    assert server.received == accepted
    assert not of(events, resilient_ws.DeliveryFailed)
    assert inside(SQLiteStore(path)) == []


def online_never(server: ScriptedServer, path: Path, **outbox: Any) -> Session:
    return offline(server, SQLiteStore(path), max_messages=50_000, **outbox)


async def fills(session: Session, disk: Path, size: int) -> list[str]:
    """Have the store fill half of what is free, and others the rest but for a MiB."""
    accepted: list[str] = []
    free = os.statvfs(disk)
    room = free.f_bavail * free.f_frsize - RESERVE_SIZE
    while sum(map(len, accepted)) < room / 3 and len(accepted) < 3000:
        text = f"{len(accepted):<{size}}"
        await session.send(text)
        accepted.append(text)
    return accepted


KILLED = """
import asyncio, os, signal, sys
import resilient_ws

async def main():
    path, disk, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    outbox = resilient_ws.Outbox(store=resilient_ws.SQLiteStore(path))
    async with resilient_ws.connect(
        "ws://127.0.0.1:1234", wait_open=False, outbox=outbox
    ) as session:
        for number in range(min(900, 1_000_000 // size)):
            await session.send(f"{number:<{size}}")
        with open(f"{disk}/others.log", "ab", buffering=0) as others:
            try:
                while True:
                    others.write(bytes(4096))
            except OSError:
                pass
        print(number + 1, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("size", [20, 1000, 100_000])
@pytest.mark.parametrize("way", WAYS)
async def test_a_session_drains_what_a_killed_one_left(
    server: ScriptedServer, disk: Path, way: str, size: int
) -> None:
    path = disk / "outbox.db"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(disk), str(size)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    accepted = [f"{number:<{size}}" for number in range(int(killed.stdout))]
    assert {"-wal", "-reserve"} <= {
        file.name.removeprefix("outbox.db") for file in disk.iterdir()
    }
    assert os.statvfs(disk).f_bavail == 0
    await drains(server, path, accepted, **WAYS[way])


async def test_what_is_accepted_leaves_room_to_be_sent(
    server: ScriptedServer, disk: Path
) -> None:
    path = disk / "outbox.db"
    async with online_never(server, path) as session:
        accepted, failure = await sends_all(session, 1000)
        assert len(accepted) > 500
        assert "is full; free some space" in str(failure)
    assert (disk / "outbox.db-reserve").stat().st_size == RESERVE_SIZE


async def test_there_is_a_reserve_again_when_there_is_room(
    server: ScriptedServer, disk: Path
) -> None:
    path = disk / "outbox.db"
    async with online_never(server, path) as session:
        accepted = await fills(session, disk, 1000)
    fill(disk)
    async with online(server, path) as session:
        await until(lambda: session.statistics().outbox_messages == 0)
        assert not (disk / "outbox.db-reserve").exists()
        for _ in range(3):
            with pytest.raises(StoreError, match="full"):
                await session.send("more")
        (disk / "others.log").unlink()
        await session.send("there is room")
        assert (disk / "outbox.db-reserve").stat().st_size == RESERVE_SIZE
    assert server.received == [*accepted, "there is room"]


async def test_at_its_limit_a_store_drains_and_keeps_its_reserve(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """To count transmissions takes pages that a full file has not."""
    path = tmp_path / "outbox.db"
    store = SQLiteStore(path, max_file_size=300_000)
    outbox = {"confirm": "pong", "resend": True, "confirm_interval": 0.01}
    async with offline(server, store, max_messages=50_000, **outbox) as session:
        accepted, failure = await sends_all(session, 20)
    assert "max_file_size" in str(failure)
    server.play(hold)
    session = resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, max_messages=50_000, **outbox),  # type: ignore[arg-type]
        liveness=Liveness(ping_interval=None),
    )
    events = recorded(session)
    async with session:
        await until(lambda: not session.outstanding())
        assert (tmp_path / "outbox.db-reserve").stat().st_size == RESERVE_SIZE
        await session.send("more")
    assert server.received == [*accepted, "more"]
    assert not of(events, resilient_ws.StoreFailed)


async def test_at_its_limit_a_store_can_set_poison_aside(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    store = SQLiteStore(path, max_file_size=100_000)
    async with offline(server, store) as session:
        await sends_all(session, 5000)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("UPDATE messages SET size = 1")
    async with offline(server, store) as session:
        assert session.outstanding() == []
    assert all(message.set_aside for message in store.pending())


@pytest.mark.parametrize("name", ["posix_fallocate", "without posix_fallocate"])
def test_a_reserve_takes_its_room(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "posix_fallocate":
        monkeypatch.delattr(os, "posix_fallocate")
    reserve = Reserve(tmp_path / "outbox.db")
    reserve.check()
    for _ in range(2):
        reserve.hold()
        reserve.check()
        status = (tmp_path / "outbox.db-reserve").stat()
        assert status.st_size == RESERVE_SIZE
        assert status.st_blocks * 512 >= RESERVE_SIZE
        assert status.st_mode & 0o077 == 0
    reserve.release()
    reserve.release()
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import asyncio, resource, sys
import resilient_ws

async def main():
    store = resilient_ws.SQLiteStore(sys.argv[1])
    outbox = resilient_ws.Outbox(store=store)
    async with resilient_ws.connect(
        "ws://127.0.0.1:1234", wait_open=False, outbox=outbox
    ) as session:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        count = 0
        try:
            while True:
                await session.send("x" * 1000)
                count += 1
        except resilient_ws.StoreError as failure:
            print(count, failure, flush=True)

asyncio.run(main())
"""


async def test_a_file_that_may_not_grow(server: ScriptedServer, tmp_path: Path) -> None:
    """As with a quota: an error other than "no space left"."""
    path = tmp_path / "outbox.db"
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    count, said = limited.stdout.split(" ", 1)
    assert "cannot be used" in said
    assert len(inside(SQLiteStore(path))) == int(count)
    server.play(hold)
    async with resilient_ws.connect(
        server.url(), outbox=Outbox(store=SQLiteStore(path))
    ) as session:
        await session.send("last")
    assert len(server.received) == int(count) + 1
