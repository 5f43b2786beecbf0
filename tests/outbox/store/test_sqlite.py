"""A file that is not what it should be is refused, clearly, and left as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import (
    DeliveryState,
    Outbox,
    SQLiteStore,
    State,
    StoreError,
)
from resilient_ws.outbox import queue
from resilient_ws.outbox.store import schema
from resilient_ws.testing.scripts import hold
from tests.outbox.disks import mount, small_disk
from tests.outbox.refusals import filled, offline, refused
from tests.outbox.stores import beside, inside
from tests.record import of, recorded, until


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import ScriptedServer


MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def sends(session: Session, count: int) -> None:
    for _ in range(count):
        await session.send("x" * 1000)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("dear diary\n" * 100),
    "a few bytes": lambda path: path.write_bytes(b"SQLite"),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "noise": lambda path: path.write_bytes(os.urandom(8192)),
    "another database": lambda path: execute(path, "CREATE TABLE t (x)"),
    "another database in WAL mode": lambda path: execute(
        path, "PRAGMA journal_mode = WAL; CREATE TABLE t (x)"
    ),
}


def execute(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_foreign_file(server: ScriptedServer, path: Path, kind: str) -> None:
    FOREIGN[kind](path)
    await refused(server, path, "not a store of resilient_ws.*Choose another")
    with pytest.raises(StoreError, match="not a store"):
        inside(SQLiteStore(path))


async def test_a_newer_schema(server: ScriptedServer, path: Path) -> None:
    await filled(server, path)
    execute(path, "PRAGMA user_version = 99")
    await refused(server, path, "newer resilient_ws.*99.*Upgrade")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
async def test_a_truncated_file(
    server: ScriptedServer, path: Path, share: float
) -> None:
    await filled(server, path)
    os.truncate(path, int(path.stat().st_size * share))
    await refused(server, path, "damaged.*left as it is|damaged .*it was left")


@pytest.mark.parametrize("page", range(1, 8))
async def test_a_corrupted_page(server: ScriptedServer, path: Path, page: int) -> None:
    await filled(server, path)
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(200))
    await refused(server, path, "damaged")


async def test_a_store_without_its_tables(server: ScriptedServer, path: Path) -> None:
    await filled(server, path)
    execute(path, "ALTER TABLE messages RENAME TO mine")
    await refused(server, path, "holds other tables")


async def test_a_folder_that_is_not_there(server: ScriptedServer, path: Path) -> None:
    session = offline(server, SQLiteStore(path / "deeper" / "outbox.db"))
    with pytest.raises(StoreError, match="No such file or directory"):
        async with session:
            pass


@pytest.mark.parametrize("name", ["a file/beneath it", "n" * 300])
def test_a_path_that_cannot_be_is_no_store_to_look_into(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StoreError, match="cannot be read"):
        list(SQLiteStore(tmp_path / name).pending())


async def test_an_empty_file_becomes_a_store(
    server: ScriptedServer, path: Path
) -> None:
    path.touch()
    await filled(server, path, 1)
    assert len(inside(SQLiteStore(path))) == 1


async def test_only_its_owner_may_read_it(server: ScriptedServer, path: Path) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        await session.send("secret")
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


async def test_two_sessions_of_one_process(server: ScriptedServer, path: Path) -> None:
    async with offline(server, SQLiteStore(path)) as first:
        await first.send("mine")
        second = offline(server, SQLiteStore(path))
        with pytest.raises(StoreError, match="in use by another session"):
            async with second:
                pass
        link = path.with_name("link.db")
        link.symlink_to(path)
        with pytest.raises(StoreError, match="in use by another session"):
            async with offline(server, SQLiteStore(link)):
                pass
        await first.send("still mine")
    assert inside(SQLiteStore(path)) == ["mine", "still mine"]


HOLDER = """
import asyncio, sys
import resilient_ws

async def main():
    store = resilient_ws.SQLiteStore(sys.argv[1])
    async with resilient_ws.connect(
        "ws://127.0.0.1:1234", wait_open=False, outbox=resilient_ws.Outbox(store=store)
    ) as session:
        await session.send("theirs")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextlib.contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with a session on the file, until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_two_processes(server: ScriptedServer, path: Path) -> None:
    with holder(path) as process:
        with pytest.raises(StoreError, match="in use by another session"):
            async with offline(server, SQLiteStore(path)):
                pass
        # To look inside is allowed.
        assert inside(SQLiteStore(path)) == ["theirs"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The lock went with its owner; what it accepted is there.
        assert inside(SQLiteStore(path)) == ["theirs"]
        async with offline(server, SQLiteStore(path)) as session:
            await session.send("ours")
    assert inside(SQLiteStore(path)) == ["theirs", "ours"]
    assert beside(path) <= {"-reserve"}


async def test_a_log_of_a_killed_session_that_is_damaged_loses_its_end_only(
    server: ScriptedServer, path: Path
) -> None:
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    log = path.with_name("outbox.db-wal")
    os.truncate(log, log.stat().st_size - 10)
    async with offline(server, SQLiteStore(path)) as session:
        await session.send("ours")
    assert inside(SQLiteStore(path)) == ["ours"]


async def test_the_file_is_bounded(server: ScriptedServer, path: Path) -> None:
    store = SQLiteStore(path, max_file_size=200_000)
    async with offline(server, store) as session:
        with pytest.raises(StoreError, match=r"max_file_size \(200000 bytes\)"):
            await sends(session, 1000)
        sent = session.statistics().outbox_messages
        assert 100 < sent < 200
        assert path.stat().st_size <= 200_000
        # The link lives, and so does the session.
        server.play(hold)
        session.retry_now()
        await session.wait_until(State.OPEN)
        await until(lambda: session.statistics().outbox_messages == 0)
        await session.send("there is room again")
    assert len(server.received) == sent + 1


async def test_a_poison_entry_is_set_aside_reported_and_blocks_nobody(
    server: ScriptedServer, path: Path
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        for number in range(5):
            await session.send(f"number {number}", message_id=str(number))
    execute(
        path,
        "UPDATE messages SET data = x'00ff' WHERE id = 1;"
        "UPDATE messages SET data = replace(data, 'number', 'NUMBER') WHERE id = 2;"
        "UPDATE messages SET accepted_at = 'yesterday' WHERE id = 4;",
    )
    server.play(hold)
    session = resilient_ws.connect(server.url(), outbox=Outbox(store=SQLiteStore(path)))
    events = recorded(session)
    async with session:
        await until(lambda: len(server.received) == 2)
        await session.send("newer")
    assert server.received == ["number 2", "number 4", "newer"]
    failed = of(events, resilient_ws.DeliveryFailed)
    assert {e.state for e in failed} == {resilient_ws.DeliveryState.FAILED}
    assert not any(e.maybe_delivered for e in failed)
    assert len(failed) == 3
    aside = list(SQLiteStore(path).pending())
    assert [m.sequence for m in aside] == [1, 2, 4]
    assert all(m.set_aside for m in aside)
    assert aside[0].data == b"\x00\xff"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program has locked the file against all writing."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as rude:
        rude.execute("BEGIN IMMEDIATE")
        yield
        rude.rollback()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store wait for a lock no longer than a moment."""
    monkeypatch.setattr(schema, "BUSY_TIMEOUT", 0.01)


async def test_a_store_that_fails_raises_from_send_and_the_link_lives(
    server: ScriptedServer,
    path: Path,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = resilient_ws.connect(server.url(), outbox=Outbox(store=SQLiteStore(path)))
    async with session:
        events = recorded(session)
        await (await session.send("before")).confirmed()
        with locked(path):
            for _ in range(3):
                with pytest.raises(StoreError, match="locked"):
                    await session.send("never")
            assert session.state is State.OPEN
        await (await session.send("after")).confirmed()
    assert server.received == ["before", "after"]
    assert len(of(events, resilient_ws.StoreFailed)) == 1
    warned = [r for r in caplog.records if "store of the outbox" in r.getMessage()]
    assert [getattr(record, "epoch", None) for record in warned] == [1]
    assert len(server.peers) == 1


async def test_a_store_that_fails_keeps_what_it_has_until_it_works_again(
    server: ScriptedServer, path: Path, impatient: None
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        events = recorded(session)
        kept = await session.send("kept")
        server.play(hold)
        with locked(path):
            session.retry_now()
            await session.wait_until(State.OPEN)
            await until(lambda: of(events, resilient_ws.StoreFailed))
            await asyncio.sleep(5)
            assert kept.state is DeliveryState.QUEUED
            assert server.received == []
            assert session.outstanding() == [kept]
        await kept.confirmed(timeout=60)
    assert server.received == ["kept"]
    assert len(of(events, resilient_ws.StoreFailed)) == 1


async def test_a_loss_is_reported_when_the_store_has_forgotten_and_not_before(
    server: ScriptedServer, path: Path, impatient: None
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        events = recorded(session)
        stale = await session.send("stale", ttl=1)
        with locked(path):
            await asyncio.sleep(10)
            assert of(events, resilient_ws.StoreFailed)
            assert stale.state is DeliveryState.QUEUED
            assert not of(events, resilient_ws.DeliveryFailed)
        with pytest.raises(resilient_ws.DeliveryError, match="ttl"):
            await stale.confirmed(timeout=60)
        assert inside(SQLiteStore(path)) == []


async def test_what_a_failing_store_cannot_forget_is_said_to_be_stored(
    server: ScriptedServer, path: Path, impatient: None
) -> None:
    session = offline(server, SQLiteStore(path))
    events = recorded(session)
    async with session:
        stale = await session.send("stale", ttl=1)
        with locked(path):
            await asyncio.sleep(10)
            await session.close()
    assert stale.stored
    assert inside(SQLiteStore(path)) == ["stale"]
    with pytest.raises(resilient_ws.DeliveryError, match="next session"):
        await stale.confirmed()
    assert not of(events, resilient_ws.DeliveryFailed)
    (closed,) = of(events, resilient_ws.SessionClosed)
    assert (closed.dropped, closed.stored) == (0, 1)


async def test_cancelled_while_it_is_entered_it_lets_go_of_the_file(
    server: ScriptedServer, path: Path
) -> None:
    await filled(server, path)
    for turns in range(6):
        entering = asyncio.create_task(offline(server, SQLiteStore(path)).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait({entering})
        assert entering.cancelled()
        assert beside(path) <= {"-reserve"}
    async with offline(server, SQLiteStore(path)) as session:
        assert len(session.outstanding()) == 100


async def test_cancelled_with_its_store_just_open_it_lets_go_of_the_file(
    server: ScriptedServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(server, path)
    opened = asyncio.Event()

    async def take_over(*_: object, **__: object) -> None:
        opened.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(queue, "take_over", take_over)
    entering = asyncio.create_task(offline(server, SQLiteStore(path)).__aenter__())
    await opened.wait()
    entering.cancel()
    await asyncio.wait({entering})
    assert entering.cancelled()
    assert beside(path) <= {"-reserve"}


async def test_closed_while_it_is_entered_it_lets_go_of_the_file(
    server: ScriptedServer, path: Path
) -> None:
    session = offline(server, SQLiteStore(path))
    entering = asyncio.create_task(session.__aenter__())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="not entered"):
        await session.send("x")
    with pytest.raises(RuntimeError, match="entered once"):
        await session.__aenter__()
    await session.close()
    with pytest.raises(resilient_ws.SessionClosed):
        await entering
    assert session.state is State.CLOSED
    assert beside(path) <= {"-reserve"}


def test_a_store_is_checked_when_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"SQLiteStore\.path"):
        SQLiteStore(7)
    with pytest.raises(ValueError, match=r"SQLiteStore\.synchronous"):
        SQLiteStore(tmp_path / "x", synchronous="OFF")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_file_size"):
        SQLiteStore(tmp_path / "x", max_file_size=0)
    with pytest.raises(StoreError, match="There is no file"):
        inside(SQLiteStore(tmp_path / "x"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    with small_disk(tmp_path / "disk", 3 * MIB) as folder:
        yield folder


async def test_a_full_disk(server: ScriptedServer, tiny_disk: Path) -> None:
    path = tiny_disk / "outbox.db"
    async with offline(server, SQLiteStore(path)) as session:
        events = recorded(session)
        with pytest.raises(StoreError, match=r"disk that holds .* is full"):
            await sends(session, 1000)
        kept = session.statistics().outbox_messages
        assert kept > 10
        before = inside(SQLiteStore(path))
        assert len(before) == kept
    assert of(events, resilient_ws.StoreFailed)
    assert inside(SQLiteStore(path)) == before
    mount(tiny_disk, "remount", "size=9m")
    server.play(hold)
    async with resilient_ws.connect(
        server.url(), outbox=Outbox(store=SQLiteStore(path))
    ) as session:
        await session.send("last")
    assert server.received == [*before, "last"]


async def test_a_disk_full_from_the_beginning(
    server: ScriptedServer, tiny_disk: Path
) -> None:
    (tiny_disk / "ballast").write_bytes(bytes(3 * MIB - 8192))
    path = tiny_disk / "outbox.db"
    with pytest.raises(StoreError, match=r"full|cannot be used"):
        async with offline(server, SQLiteStore(path)):
            pass
    assert [file.name for file in tiny_disk.iterdir()] == ["ballast"]


async def test_a_read_only_file(server: ScriptedServer, tiny_disk: Path) -> None:
    path = tiny_disk / "outbox.db"
    await filled(server, path, 5)
    mount(tiny_disk, "remount", "ro")
    await refused(server, path, "Read-only|readonly")
    # To look inside needs no more than reading.
    assert len(inside(SQLiteStore(path))) == 5
