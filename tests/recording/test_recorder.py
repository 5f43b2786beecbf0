"""Recording a session on real sockets, and reading it back."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import stat
from typing import TYPE_CHECKING

import pytest

from resilient_ws import AttemptFailed, Connection, Session, connect
from resilient_ws.recording import Entry, Recorder, read
from resilient_ws.testing import ScriptedServer


if TYPE_CHECKING:
    from resilient_ws.testing import Peer


async def log_in(connection: Connection) -> None:
    await connection.send('{"op":"login","token":"PLANTED-SECRET"}')


async def serve(peer: Peer) -> None:
    await peer.accept()
    await peer.receive()
    await peer.send("one", b"\x01\x02")
    if peer.number == 1:
        await peer.ping(b"p")
        await peer.close(4000, "restart")
    await peer.ended()


async def recorded(
    session: Session, path: pathlib.Path, *, payloads: bool = True
) -> list[Entry]:
    """Record until the second connection has brought a message."""
    async with Recorder(session, path, payloads=payloads), session:
        for _ in range(3):
            await session.receive()
    return list(read(path))


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.zst"])
async def test_records_what_passed(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / name
    async with ScriptedServer(serve) as server:
        session = connect(server.url("/feed?key=PLANTED-KEY"), on_open=log_in)
        entries = await recorded(session, path)
    first = [entry for entry in entries if entry.epoch == 1]
    assert [(e.kind, e.sent, e.data) for e in first if e.kind != "opened"][:6] == [
        ("text", True, '{"op":"login","token":"***"}'),
        ("text", False, "one"),
        ("binary", False, b"\x01\x02"),
        ("ping", False, b"p"),
        ("pong", True, b"p"),
        ("close", False, "restart"),
    ]
    assert [e.code for e in first if e.kind == "close"] == [4000, 4000]
    assert {"opened", "ended"} <= {e.kind for e in first}
    (opened,) = [e for e in first if e.kind == "opened"]
    assert str(opened.data).endswith("/feed?key=***")
    assert all(entry.at >= 0 for entry in entries)
    assert b"PLANTED" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_sizes_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "run.jsonl"
    async with ScriptedServer(serve) as server:
        session = connect(server.url(), on_open=log_in)
        entries = await recorded(session, path, payloads=False)
    assert "***" in {entry.data for entry in entries}
    assert '"one"' not in path.read_text()
    assert '"size":3' in path.read_text()


async def test_attempts_that_fail_are_recorded(tmp_path: pathlib.Path) -> None:
    async with ScriptedServer() as server:
        url = server.url()
    session = connect(url, wait_open=False)
    failed = asyncio.Event()
    session.on(AttemptFailed, lambda _: failed.set())
    async with Recorder(session, tmp_path / "run.jsonl"), session:
        await failed.wait()
    (entry,) = list(read(tmp_path / "run.jsonl"))
    assert entry.kind == "failed"
    assert "ECONNREFUSED" in entry.detail


async def test_stops_at_the_largest_size(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def flood(peer: Peer) -> None:
        await peer.accept()
        while True:
            await peer.send("x" * 1000)
            await asyncio.sleep(0)

    path = tmp_path / "run.jsonl"
    async with ScriptedServer(flood) as server:
        session = connect(server.url())
        with caplog.at_level(logging.WARNING, "resilient_ws.recording"):
            async with Recorder(session, path, max_bytes=20_000), session:
                while not caplog.records:
                    await session.receive()
                for _ in range(100):
                    await session.receive()
    assert "as large as it may be" in caplog.text
    assert all(entry.kind in {"text", "opened"} for entry in read(path))


async def test_a_full_disk_ends_the_recording_and_not_the_session(
    caplog: pytest.LogCaptureFixture, tmp_path: pathlib.Path
) -> None:
    async with ScriptedServer(serve) as server:
        session = connect(server.url(), on_open=log_in)
        path = tmp_path / "full"
        async with Recorder(session, path) as recorder:
            full = os.open("/dev/full", os.O_WRONLY)
            written = next(
                int(entry.name)
                for entry in pathlib.Path("/proc/self/fd").iterdir()
                if entry.resolve() == path
            )
            os.dup2(full, written)
            os.close(full)
            async with session:
                for _ in range(3):
                    await session.receive()
    assert recorder.failure is not None
    assert "No space left" in caplog.text


async def test_a_killed_recorder_leaves_whole_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "run.jsonl"
    async with ScriptedServer(serve) as server:
        await recorded(connect(server.url(), on_open=log_in), path)
    whole = list(read(path))
    path.write_bytes(path.read_bytes()[:-5])
    assert list(read(path)) == whole[:-1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", None),
        (b"hello\n", "is not a recording"),
        (b'{"recording":99}\n', "newer version"),
        (b'{"recording":1}\n{"kind":"text","at":0}\nnonsense\n', "line 3 is damaged"),
        (b'{"recording":1}\n\xff\xfe\n', "line 2 is not UTF-8"),
    ],
)
def test_what_is_not_a_recording_is_refused(
    tmp_path: pathlib.Path, content: bytes, complaint: str | None
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    if complaint is None:
        assert list(read(path)) == []
        return
    with pytest.raises(ValueError, match=complaint):
        list(read(path))


def test_a_file_that_is_not_compressed_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.zst"
    path.write_bytes(b'{"recording":1}\n')
    with pytest.raises(ValueError, match="not compressed by zstd"):
        list(read(path))


async def test_a_session_that_was_entered_is_refused(tmp_path: pathlib.Path) -> None:
    async with ScriptedServer(serve) as server, connect(server.url()) as session:
        with pytest.raises(RuntimeError, match="too late"):
            Recorder(session, tmp_path / "x")
