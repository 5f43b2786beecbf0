"""Subscriptions that a server keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.protocols.kept import Kept


if TYPE_CHECKING:
    from resilient_ws.feeds import Source


NOBODY: Any = None


def source(kept: Kept, asked: list[str], **how: Any) -> Source[Any, Any]:
    async def subscribe(_: object) -> str:
        asked.append("subscribe")
        return "k"

    async def unsubscribe(_: object, key: Any) -> None:
        asked.append(f"unsubscribe {key}")

    return kept.source(subscribe, unsubscribe, **how)


async def test_each_is_asked_for_once_in_a_session_of_the_server() -> None:
    kept, asked = Kept(), list[str]()
    stream = source(kept, asked)
    assert stream.subscribe is not None
    assert stream.unsubscribe is not None
    for present, times in ((False, 1), (True, 1), (False, 2), (True, 2)):
        kept.opened(present=present)
        assert await stream.subscribe(NOBODY) == "k"
        assert asked.count("subscribe") == times
    kept.end("k")
    await stream.subscribe(NOBODY)
    await stream.unsubscribe(NOBODY, "k")
    await stream.subscribe(NOBODY)
    assert asked[2:] == ["subscribe", "unsubscribe k", "subscribe"]


async def test_only_what_the_server_kept_and_sends_is_no_hole() -> None:
    kept = Kept()
    stream, loses = source(kept, [], key="k", replays=True), source(kept, [], key="l")
    assert stream.resumed is not None
    assert loses.resumed is not None
    assert stream.subscribe is not None
    assert (stream.keys, stream.name) == (("k",), "k")
    kept.opened(present=True)
    assert stream.resumed(), "it was there before this program"
    assert not loses.resumed()
    kept.opened(present=False)
    assert not stream.resumed()
    kept.opened(present=True)
    assert not stream.resumed(), "the server was never asked"
    await stream.subscribe(NOBODY)
    assert stream.resumed()
