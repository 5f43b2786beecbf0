"""What a login hands on, and from where a subscription asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from resilient_ws.feeds import Continuity, Gap, Plain, Source, consecutive
from tests.feeds.talk import Talk, channel, say, scripted, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds import Requests, Route


class TwoAtOnce(Plain):
    """The server's first message is an answer and an item, with a bar between them."""

    @override
    async def login(self, connection: Connection, resume: bool) -> Sequence[str]:
        message = await connection.receive()
        assert isinstance(message, str)
        return (message.partition("|")[2],)

    def route(self, message: str | bytes) -> Route:
        return Talk().route(message)


async def test_what_came_with_the_answer_to_the_login_is_routed_first() -> None:
    async with scripted() as server, channel(server, TwoAtOnce()) as feed:
        stream = feed.listen()
        for _ in range(2):
            peer = await server.accept()
            first = "hello|" + say("item", key="k", value=1)
            await peer.send(first, say("item", key="k", value=2))
            found = await take(stream, 2)
            if isinstance(found[0], Gap):
                found = [*found[1:], *await take(stream, 1)]
            assert found == [1, 2]
            await peer.drop()


def numbered(cursors: list[Any]) -> Source[Any, int]:
    async def subscribe(requests: Requests) -> str:
        cursors.append(requests.after)
        return "k"

    async def backfill(after: int, until: int | None) -> AsyncIterator[Any]:
        for number in range(after + 1, until or after):
            yield number

    return Source(
        subscribe=subscribe, cursor_of=int, follows=consecutive(int), backfill=backfill
    )


async def test_a_subscription_asks_from_its_last_item() -> None:
    cursors: list[Any] = []
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        stream = await feed.subscribe(numbered(cursors))
        other = await feed.subscribe(
            Source[Any, int](subscribe=lambda requests: noted(requests, cursors)),
            after=77,
        )
        await peer.send(say("item", key="k", value=5))
        assert await take(stream, 1) == [5]
        await peer.drop()
        await server.accept()
        assert isinstance((await take(other, 1))[0], Gap)
        await until(lambda: len(cursors) == 4)
        assert cursors == [None, 77, 5, 77]


async def noted(requests: Requests, cursors: list[Any]) -> str:
    cursors.append(requests.after)
    return "other"


async def test_a_count_that_begins_anew_behind_a_gap_is_told_once() -> None:
    source = Source[Any, int](
        subscribe=lambda requests: noted(requests, []),
        cursor_of=int,
        follows=lambda last, item: (
            Continuity.RESET if last is not None and item < last else Continuity.NEXT
        ),
        backfill=failing,
    )
    async with scripted() as server, channel(server, Talk()) as feed:
        peer = await server.accept()
        stream = await feed.subscribe(source)
        await peer.send(say("item", key="other", value=9))
        assert await take(stream, 1) == [9]
        await peer.drop()
        peer = await server.accept()
        await peer.send(say("item", key="other", value=1))
        gap, item = await take(stream, 2)
        assert isinstance(gap, Gap)
        assert item == 1


async def failing(after: int, until: int | None) -> AsyncIterator[Any]:
    if after:
        raise OSError
    yield until
