"""What is left behind fails the test, and what was there before does not."""

from __future__ import annotations

import asyncio
import pathlib
import socket
import weakref

import pytest

from resilient_ws.testing import assert_no_leaks, leaks


NOWHERE = ("/no/such/listing",)


@pytest.fixture(params=["as here", "as elsewhere"])
def listings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the list of descriptors that this system has, and without one."""
    if request.param == "as elsewhere":
        monkeypatch.setattr(leaks, "_LISTINGS", NOWHERE)
    elif not any(map(pathlib.Path.exists, map(pathlib.Path, leaks._LISTINGS))):
        pytest.skip("this system lists no descriptors")
    return str(request.param)


async def leaking(before: socket.socket, left: list[socket.socket]) -> None:
    async with assert_no_leaks():
        before.close()
        left.append(socket.socket())
        left[0].bind(("127.0.0.1", 0))


class Gone:
    """Something that a weak proxy may stand for."""


async def test_a_proxy_of_what_is_gone_is_no_socket(listings: str) -> None:
    gone = Gone()
    proxy = weakref.proxy(gone)
    del gone
    async with assert_no_leaks():
        pass
    with pytest.raises(ReferenceError):
        repr(proxy.nothing)


async def test_a_socket_that_is_left_fails(listings: str) -> None:
    before = socket.socket()
    number = before.fileno()
    left: list[socket.socket] = []
    with pytest.raises(AssertionError, match="sockets left open: ") as caught:
        await leaking(before, left)
    # In the very place of one that was there before, and told from it.
    assert left[0].fileno() == number
    assert str(left[0].getsockname()[1]) in str(caught.value)
    left[0].close()


async def test_what_was_there_before_is_nobodys_fault(listings: str) -> None:
    one, other = socket.socketpair()
    with one, other:
        task = asyncio.create_task(asyncio.sleep(100))
        async with assert_no_leaks():
            with socket.socket():
                await asyncio.create_task(asyncio.sleep(0))
        task.cancel()


async def forgetting(error: type[Exception] | None = None) -> None:
    async with assert_no_leaks():
        task = asyncio.create_task(asyncio.sleep(100), name="forgotten")
        assert not task.done()
        if error is not None:
            raise error


async def test_a_task_that_is_left_fails() -> None:
    with pytest.raises(AssertionError, match=r"tasks left pending: .*forgotten"):
        await forgetting()


async def test_an_error_of_the_block_comes_first() -> None:
    with pytest.raises(KeyError):
        await forgetting(KeyError)


async def test_a_task_that_ends_in_its_last_turn_is_none() -> None:
    async with assert_no_leaks():
        task = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(0)
        task.cancel()
