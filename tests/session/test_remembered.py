"""What is remembered of failures, through long outages: so many, and no frames."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import logging
import re
import socket
import sys
import types
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import pytest
import tenacity

import resilient_ws
from resilient_ws import AttemptFailed, Liveness, Reconnect, ResilientWSError
from resilient_ws.policy.outage import MAX_HISTORY
from resilient_ws.policy.tracebacks import MAX_CAUSES
from resilient_ws.testing import assert_no_leaks
from tests.servers.process import HOST, free_port


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from resilient_ws import Attempt, Connection, Ending


#: What else may be alive: the failure at hand, its cause, and those that wait in events.
FEW = 12


@attrs.frozen
class Alive:
    """What lives of failures."""

    exceptions: int
    tracebacks: int
    frames: int

    @classmethod
    def now(cls) -> Alive:
        gc.collect()
        kinds = (BaseException, types.TracebackType, types.FrameType)
        counts = [0, 0, 0]
        for one in gc.get_objects():
            for place, kind in enumerate(kinds):
                counts[place] += issubclass(type(one), kind)
        return cls(*counts)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(head: str) -> Callable[..., Awaitable[None]]:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def talk_garbage(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"garbage\r\n\r\n")
    await reader.read(1)


async def accept_wrongly(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await read_request(reader)
    switch = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    writer.write(f"{switch}Sec-WebSocket-Accept: x\r\n\r\n".encode())


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await read_request(reader)
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert key
    digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


async def accept_and_reset(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await accept(reader, writer)
    await asyncio.sleep(0.1)
    writer.transport.abort()


async def accept_and_close(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await accept(reader, writer)
    await asyncio.sleep(0.1)
    writer.write(b"\x88\x02\x03\xe9")
    await reader.read(1)


async def accept_and_speak(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await accept(reader, writer)
    writer.write(b"\x81\x01x")
    await asyncio.sleep(0.1)


# What a user's callables do.


async def hook_that_fails(connection: Connection) -> None:
    try:
        raises()
    except LookupError:
        raise OSError("no, and in a context")  # noqa: B904 - that is what is tried


async def hook_that_waits(connection: Connection) -> None:
    await connection.receive()


def fails(*args: object) -> NoReturn:
    raise ConnectionError("the token service is down")


def raises(*args: object) -> NoReturn:
    raise LookupError("a bug of the user's")


def chains(attempt: Attempt) -> NoReturn:
    """Tell the whole story of an outage, in each failure anew."""
    raise ResilientWSError("again") from attempt.because


def tries(attempt: Attempt) -> NoReturn:
    assert isinstance(attempt.because, Exception | None)
    if attempt.because is not None:
        raise attempt.because
    raise ResilientWSError("the first")


def classify_by_raising(ending: Ending) -> NoReturn:
    raise RuntimeError("a bug") from ending.because


def stop_by_result(state: tenacity.RetryCallState) -> bool:
    """Look at the outcome as users of tenacity do."""
    assert state.outcome is not None
    try:
        state.outcome.result()
    except Exception:  # noqa: BLE001 - whatever it was
        return False
    return True


SERVERS: dict[str, Callable[..., Awaitable[None]]] = {
    "503": answering("503 No"),
    "redirect": answering("302 Found\r\nLocation: mailto:nobody"),
    "redirect in a circle": answering("302 Found\r\nLocation: /"),
    "eof": leave,
    "garbage": talk_garbage,
    "tls": talk_garbage,
    "accept key": accept_wrongly,
    "reset": accept_and_reset,
    "close": accept_and_close,
    "on_open": accept,
    "on_open, lost": accept_and_reset,
    "is_answer": accept_and_speak,
}

OPTIONS: dict[str, dict[str, Any]] = {
    "refused": {},
    "dns": {"url": "wss://no-such-host.invalid"},
    "url": {"url": fails},
    "url, chained": {"url": chains},
    "url, raised again": {"url": tries},
    "headers": {"headers": fails},
    "classify": {"classify": classify_by_raising},
    "stop": {"stop": stop_by_result},
    "callback": {},
    "on_open": {"on_open": hook_that_fails},
    "on_open, lost": {"on_open": hook_that_waits},
    "is_answer": {
        "liveness": Liveness(probe="x", is_answer=raises),
    },
}


@pytest.fixture
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """A server that remembers nothing itself, or a port where nobody listens."""
    script = SERVERS.get(request.getfixturevalue("kind"))
    if script is None:
        yield free_port()
        return

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await script(reader, writer)
        writer.close()

    async with assert_no_leaks(), await asyncio.start_server(answer, HOST) as server:
        yield server.sockets[0].getsockname()[1]


def outage(kind: str, port: int) -> resilient_ws.Session:
    """A session that never gives up, whatever it is told."""
    options = dict(OPTIONS.get(kind, {}))
    scheme = "wss" if kind == "tls" else "ws"
    url = options.pop("url", f"{scheme}://{HOST}:{port}")
    policy = Reconnect(
        wait=tenacity.wait_fixed(1),
        stop=options.pop("stop", tenacity.stop_never),
        classify=options.pop("classify", lambda _: resilient_ws.RETRY),
    )
    session = resilient_ws.connect(url, wait_open=False, reconnect=policy, **options)
    if kind == "callback":
        session.on(AttemptFailed, raises)
    return session


@pytest.mark.parametrize("kind", sorted({*SERVERS, *OPTIONS}))
async def test_an_outage_leaves_its_last_failures_and_no_frames(
    kind: str,
    port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A record that a test keeps keeps what is in it.
    caplog.set_level(logging.CRITICAL + 1, logger="resilient_ws")
    if kind == "dns":
        monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    attempts = 4000 if kind == "refused" else 200
    session = outage(kind, port)
    before = Alive.now()
    seen: list[Alive] = []
    blocks: list[int] = []
    async with session:
        for goal in (attempts // 2, attempts):
            while session.statistics().attempts < goal:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(session.receive(), 10)
            seen.append(Alive.now())
            blocks.append(sys.getallocatedblocks())
    first, second = seen
    # Each with the operating system's own as its cause.
    bound = 2 * MAX_HISTORY + MAX_CAUSES + FEW
    assert second.exceptions - before.exceptions <= bound
    assert second.tracebacks - before.tracebacks <= FEW
    assert second.frames - first.frames <= FEW
    if kind == "refused":
        # 2,000 attempts more: less than one small object for each.
        assert blocks[1] - blocks[0] < attempts // 4


def unresolved(*args: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
