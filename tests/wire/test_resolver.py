"""A name server that hangs, or answers late, holds nothing else up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from resilient_ws import Access, AttemptFailed, OpenTimeout, State, Timeouts, connect
from resilient_ws.testing import VirtualLoop, assert_no_leaks
from resilient_ws.transport.resolver import (
    MAX_ADDRESSES,
    MAX_LOOK_UPS,
    Found,
    look_ups_of,
)
from tests.servers.process import ROOT
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import AT_ONCE, BOTH_LOOPS, SOON, Witness, eventually


if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.wire, BOTH_LOOPS]

NAME: Final = "feed.example.com"
HERE: Final = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))


class Resolver:
    """Stands for the system's, and hangs until it is told to answer."""

    def __init__(self) -> None:
        self.answering = threading.Event()
        self.asked: list[str] = []
        self.failure: OSError | None = None

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        self.answering.wait(30.0)
        if self.failure is not None:
            raise self.failure
        return [HERE]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.answering.set()


def echoes(peer: Peer) -> None:
    peer.accept()
    peer.echo()


async def find(name: str = NAME) -> tuple[Found, ...]:
    return await look_ups_of(asyncio.get_running_loop()).find(name)


async def test_one_look_up_serves_every_attempt_of_every_session(
    resolver: Resolver,
) -> None:
    """And the application's threads are its own."""
    async with assert_no_leaks(), RawServer(echoes) as server:
        url = f"ws://{NAME}:{server.port}/"
        sessions = [
            connect(
                url,
                reconnect=AT_ONCE,
                wait_open=False,
                timeouts=Timeouts(open=0.05),
                access=Access(allow_insecure=True),
            )
            for _ in range(20)
        ]
        seen = [Witness(session) for session in sessions]
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                await stack.enter_async_context(session)
            for witness in seen:
                failed = await witness.until(AttemptFailed, count=3, within=20.0)
                assert isinstance(failed[0].because, OpenTimeout)
                assert "host name had not been resolved" in str(failed[0].because)
            assert resolver.asked == [NAME]
            async with asyncio.timeout(SOON):
                assert await asyncio.to_thread(lambda: "at once") == "at once"
            resolver.answering.set()
            async with asyncio.timeout(20.0):
                for session in sessions:
                    await session.wait_until(State.OPEN)


async def test_each_dial_has_fresh_addresses(resolver: Resolver) -> None:
    resolver.answering.set()
    for _ in range(3):
        assert [found.address for found in await find()] == ["127.0.0.1"]
    assert resolver.asked == [NAME] * 3


async def test_who_gives_up_does_not_end_the_look_up_of_others(
    resolver: Resolver,
) -> None:
    waiters = [asyncio.create_task(find()) for _ in range(10)]
    await eventually(lambda: bool(resolver.asked))
    for waiter in waiters[::2]:
        waiter.cancel()
    resolver.answering.set()
    ended = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended[::2])
    assert all(isinstance(one, tuple) for one in ended[1::2])
    assert resolver.asked == [NAME]


async def test_all_may_give_up_and_the_next_finds_the_answer(
    resolver: Resolver,
) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await find()
    waiting = asyncio.create_task(find())
    await asyncio.sleep(0)
    resolver.answering.set()
    assert await waiting
    assert resolver.asked == [NAME]


async def test_a_failure_is_each_waiter_s_own_and_is_not_kept(
    resolver: Resolver,
) -> None:
    resolver.failure = socket.gaierror(socket.EAI_AGAIN, "try again")
    waiters = [asyncio.create_task(find()) for _ in range(3)]
    await eventually(lambda: bool(resolver.asked))
    resolver.answering.set()
    ended = await asyncio.gather(*waiters, return_exceptions=True)
    assert len({id(one) for one in ended}) == 3
    for one in ended:
        assert isinstance(one, socket.gaierror)
        assert (one.errno, one.strerror) == (socket.EAI_AGAIN, "try again")
    resolver.failure = None
    assert await find()


@pytest.mark.parametrize(
    "failure", [UnicodeError("label too long"), ValueError("embedded null")]
)
async def test_a_resolver_that_raises_something_else(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(socket.gaierror):
        await find()


async def test_of_thousands_of_addresses_the_first_of_each_family_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    six = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{n:x}", 0, 0, 0))
        for n in range(1, 3000)
    ]
    four = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{n}", 0))
        for n in range(1, 250)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*six, *four])
    found = await find()
    assert [one.address for one in found] == [
        info[4][0] for info in (*six[:MAX_ADDRESSES], *four[:MAX_ADDRESSES])
    ]


@pytest.mark.parametrize(
    "infos", [[], [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("x",))]]
)
async def test_a_name_without_an_address_is_not_found(
    infos: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
    with pytest.raises(socket.gaierror, match="no address"):
        await find()


async def test_no_thread_for_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="no thread"):
            await find("localhost")
    assert await find("localhost")


async def test_names_hang_for_themselves_and_threads_are_bounded(
    resolver: Resolver,
) -> None:
    waiters = [
        asyncio.create_task(find(f"{number}.example"))
        for number in range(MAX_LOOK_UPS + 10)
    ]
    await eventually(lambda: len(resolver.asked) == MAX_LOOK_UPS)
    await asyncio.sleep(0.05)
    assert len(resolver.asked) == MAX_LOOK_UPS
    resolver.answering.set()
    assert len(await asyncio.gather(*waiters)) == MAX_LOOK_UPS + 10
    assert len(resolver.asked) == MAX_LOOK_UPS + 10


async def test_an_address_is_never_looked_up(resolver: Resolver) -> None:
    resolver.failure = OSError("must not be asked")
    async with (
        assert_no_leaks(),
        RawServer(echoes) as server,
        connect(server.url, wait_open=SOON) as session,
    ):
        assert session.state is State.OPEN
    assert resolver.asked == []


async def test_virtual_time_stands_still_for_a_look_up() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(0.001):
            assert await find("localhost")
        return loop.time() - began

    def elsewhere() -> float:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())

    assert await asyncio.to_thread(elsewhere) == 0.0


_BLOCK: Final = 60.0
_CHILD: Final = f"""
import asyncio, socket, threading, time

asked = threading.Event()

def hangs(*arguments, **options):
    if not asked.is_set():
        print("asked", flush=True)
    asked.set()
    time.sleep({_BLOCK})

socket.getaddrinfo = hangs
from resilient_ws import connect
import resilient_ws

async def main():
    session = connect(
        "wss://feed.example.com/",
        wait_open=False,
        timeouts=resilient_ws.Timeouts(open=0.1),
        **OPTIONS,
    )
    async with session:
        while not asked.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    print("left", flush=True)

asyncio.run(main())
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"proxy": "http://proxy.example:3128"},
        {"proxy": "socks5://proxy.example:1080"},
        {"proxy": "socks5h://proxy.example:1080"},
        {"proxy": "socks5://127.0.0.1:9"},
    ],
)
async def test_the_end_of_a_program_does_not_wait_for_a_name_server(
    options: dict[str, str],
) -> None:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHILD.replace("OPTIONS", repr(options))),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_BLOCK / 2):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert output.split() == [b"asked", b"left", b"done"]
    assert (process.returncode, b"Traceback" in errors) == (0, False)
    assert time.monotonic() - began < _BLOCK / 2


async def test_a_loop_that_ends_leaves_nothing_behind(resolver: Resolver) -> None:
    """Even if its look-up never ends."""

    def elsewhere() -> int:
        async def main() -> int:
            waiting = asyncio.create_task(find())
            await eventually(lambda: len(resolver.asked) == 1)
            waiting.cancel()
            return id(asyncio.get_running_loop())

        return asyncio.run(main())

    await asyncio.to_thread(elsewhere)
    resolver.answering.set()
    assert await find()
