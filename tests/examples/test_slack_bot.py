"""examples/slack_bot.py: each mention is acknowledged where it came, and answered once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.testing import FaultProxy, Reset
from tests.examples.program import Program
from tests.examples.workspace import Workspace
from tests.record import until
from tests.servers.process import HOST


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.wire


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


def bot(slack: Workspace, **more: str) -> Program:
    return Program("slack_bot.py", environment=slack.environment(**more))


async def test_a_mention_is_answered_in_its_thread(slack: Workspace) -> None:
    async with bot(slack) as program:
        await program.said("listening")
        await slack.complain()
        await slack.mention()
        await slack.answered(1)
        await until(lambda: slack.acknowledged == slack.sent)
        assert await program.interrupted() == 0
    assert slack.posted == [
        {"channel": "C1", "thread_ts": "1.000100", "text": "<@U1> You said: <@B1> 1"}
    ]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_no_mention_is_missed_or_answered_twice_while_slack_renews_a_connection(
    slack: Workspace, reason: str
) -> None:
    async with bot(slack) as program:
        await program.said("listening")
        await slack.mention()
        await slack.disconnect(reason)
        await slack.linked(2)
        # Both connections stand, each gets some, and one comes on both.
        await slack.mention(0)
        twice = await slack.mention(0)
        await slack.mention(1, again=twice)
        await slack.mention(1)
        await slack.answered(4)
        # The bot leaves the old one by itself.
        await until(lambda: slack.links[0].gone, within=15)
        await slack.mention(1)
        await slack.answered(5)
        await until(lambda: slack.acknowledged == slack.sent)
        assert await program.interrupted() == 0
    assert answers(slack) == [1, 2, 3, 4, 5]
    assert program.all_of("mentions may be missing") == []
    assert len(slack.links) == slack.given == 2


async def test_what_was_not_acknowledged_before_a_cut_is_answered_once(
    slack: Workspace,
) -> None:
    async with FaultProxy(HOST, slack.port) as proxy:
        slack.link_port = proxy.port
        async with bot(slack) as program:
            await program.said("listening")
            await slack.mention()
            await slack.answered(1)
            proxy.apply(Reset())
            lost = await slack.mention(0)
            await slack.linked(2)
            # Slack had no acknowledgement of either, it says.
            await slack.mention(1, again=lost)
            await slack.mention(1, again="Ev1")
            await slack.mention(1)
            await slack.answered(3)
            await program.said("mentions may be missing")
            late = {name: link for name, link in slack.sent.items() if link == 1}
            await until(lambda: late.items() <= slack.acknowledged.items())
            assert await program.interrupted() == 0
    assert answers(slack) == [1, 2, 3]
    assert len(slack.links) == slack.given == 2


async def test_an_answer_that_slack_refuses_ends_nothing(slack: Workspace) -> None:
    async with bot(slack) as program:
        await program.said("listening")
        slack.refusals.append("is_archived")
        await slack.mention()
        assert "is_archived" in await program.said("could not answer 1.000100")
        await slack.mention()
        await slack.answered(1)
        assert await program.interrupted() == 0
    assert answers(slack) == [2]


async def test_a_wrong_token_ends_the_bot_and_is_not_shown(slack: Workspace) -> None:
    async with bot(slack, SLACK_APP_TOKEN="xapp-wrong") as program:
        assert await program.ended() == 1
    assert "invalid_auth" in program.lines[-1]
    assert "xapp-wrong" not in "\n".join(program.lines)


def answers(slack: Workspace) -> list[int]:
    """The numbers of the mentions that were answered."""
    return sorted(int(post["thread_ts"].partition(".")[0]) for post in slack.posted)
