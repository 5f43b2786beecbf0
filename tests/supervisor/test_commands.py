"""Which command is pending, and what a command wakes and cancels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resilient_ws.errors import ConnectFailed
from resilient_ws.supervisor.commands import Commands, EndSession, Replace, RetryNow
from resilient_ws.supervisor.log import SessionLog
from tests.record import now, turns


if TYPE_CHECKING:
    from resilient_ws.supervisor.commands import Command


END, OTHER_END = EndSession(), EndSession(code=1001)
FIRST, SECOND = Replace(reason="first"), Replace(reason="second")
NOW = RetryNow()


@pytest.fixture
async def commands() -> Commands:
    loop = asyncio.get_running_loop()
    return Commands(loop, SessionLog("feed", clock=loop.time))


@pytest.mark.parametrize(
    ("given", "pending"),
    [
        ([], None),
        ([NOW], NOW),
        ([NOW, FIRST], FIRST),
        ([FIRST, NOW], FIRST),
        ([FIRST, SECOND], SECOND),
        ([FIRST, END], END),
        ([END, FIRST], END),
        ([END, NOW], END),
        ([END, OTHER_END], END),
    ],
)
async def test_the_command_that_outranks_the_others_is_pending(
    given: list[Command], pending: Command | None, commands: Commands
) -> None:
    for command in given:
        commands.give(command)
    assert commands.pending is pending
    assert commands.end_session is (END if pending is END else None)


async def test_a_command_is_taken_once_but_the_end_stays(commands: Commands) -> None:
    commands.give(FIRST)
    assert (commands.take(), commands.take()) == (FIRST, None)
    commands.give(END)
    assert (commands.take(), commands.take()) == (END, END)


async def test_a_wait_ends_with_a_command(commands: Commands) -> None:
    wait = asyncio.create_task(commands.wait_for_command(timeout=60))
    await turns()
    assert not wait.done()
    commands.give(NOW)
    await wait
    assert now() < 1


async def test_a_wait_ends_in_the_next_turn_if_a_command_is_pending(
    commands: Commands,
) -> None:
    commands.give(NOW)
    began = asyncio.create_task(turns(1))
    await commands.wait_for_command()
    assert began.done()


async def test_a_wait_ends_with_a_future_and_cancels_no_other(
    commands: Commands,
) -> None:
    one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    wait = asyncio.create_task(commands.wait_for_command(or_done=[one, other]))
    await turns()
    one.set_result(None)
    await wait
    assert not other.done()


async def test_a_wait_ends_with_its_timeout(commands: Commands) -> None:
    before = now()
    await commands.wait_for_command(timeout=7)
    assert now() == pytest.approx(before + 7, abs=0.01)


async def test_a_cancelled_wait_leaves_nothing_behind(commands: Commands) -> None:
    wait = asyncio.create_task(commands.wait_for_command(timeout=60))
    await turns()
    wait.cancel()
    await asyncio.wait([wait])
    commands.give(NOW)
    assert wait.cancelled()
    assert commands.pending is NOW


async def test_work_gives_its_result(commands: Commands) -> None:
    assert await commands.run_until_command(asyncio.sleep(1, "result")) == "result"


async def test_work_raises_its_error(commands: Commands) -> None:
    async def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await commands.run_until_command(fails())


async def test_a_command_cancels_work(commands: Commands) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(1, commands.give, FIRST)
    assert await commands.run_until_command(asyncio.sleep(60, "result")) is None
    assert now() < 2


async def test_work_that_cancels_itself_is_a_failed_attempt(
    commands: Commands,
) -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectFailed, match="cancelled by one of your callables"):
        await commands.run_until_command(cancels())
