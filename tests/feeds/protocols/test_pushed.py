"""Events that are numbered within a session."""

from __future__ import annotations

from resilient_ws.feeds import Continuity, Ignore, Item
from resilient_ws.feeds.protocols.pushed import Pushed, PushedEvent


def event(pushed: Pushed, number: int) -> PushedEvent:
    item = pushed.take("news", None, number)
    assert isinstance(item, Item)
    assert item.key == "news"
    assert isinstance(item.value, PushedEvent)
    return item.value


def how(pushed: Pushed, last: PushedEvent, item: PushedEvent) -> Continuity:
    source = pushed.source("news")
    assert source.follows is not None
    assert source.cursor_of is not None
    return source.follows(source.cursor_of(last), item)


def test_what_is_missing_is_found_by_the_numbers() -> None:
    pushed = Pushed()
    pushed.begin("one", 1)
    second, third = event(pushed, 2), event(pushed, 3)
    assert how(pushed, second, third) is Continuity.NEXT
    fifth = event(pushed, 5)
    assert how(pushed, third, fifth) is Continuity.JUMP
    assert how(pushed, fifth, event(pushed, 6)) is Continuity.NEXT
    pushed.end()
    pushed.begin("two", 1)
    assert how(pushed, fifth, event(pushed, 2)) is Continuity.RESET


def test_a_stream_begins_where_the_session_stands() -> None:
    pushed = Pushed()
    pushed.begin("one", 1)
    source = pushed.source("news")
    assert source.begins_at is not None
    assert source.follows is not None
    begin = source.begins_at()
    assert source.follows(begin, event(pushed, 2)) is Continuity.NEXT
    assert source.follows(begin, event(pushed, 4)) is Continuity.JUMP
    assert source.follows(None, event(pushed, 5)) is Continuity.NEXT


def test_an_event_that_was_there_is_left_out_and_counted() -> None:
    pushed = Pushed()
    pushed.begin("one", 1)
    event(pushed, 2)
    for number in (2, 1, 0, -1):
        again = pushed.take("news", None, number)
        assert isinstance(again, Ignore)
        assert again.odd
    assert pushed.number == 2
