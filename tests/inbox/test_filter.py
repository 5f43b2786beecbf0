"""Which messages are kept from the user, and what a broken callable does."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from resilient_ws import Fatal
from resilient_ws.inbox.filter import ReplyFilter


@attrs.define
class Told:
    acknowledged: list[str] = attrs.field(factory=list)
    complaints: list[tuple[str, Exception]] = attrs.field(factory=list)
    fatal: list[Exception] = attrs.field(factory=list)

    def filter(
        self, *, is_answer: Any = None, ack_of: Any = None, deliver_acks: bool = True
    ) -> ReplyFilter:
        return ReplyFilter(
            is_answer=is_answer,
            ack_of=ack_of,
            deliver_acks=deliver_acks,
            acknowledge=self.acknowledged.append,
            complain=lambda name, _, failure: self.complaints.append((name, failure)),
            on_fatal=self.fatal.append,
        )


def ack_of(message: object) -> str | None:
    return str(message)[4:] if str(message).startswith("ack ") else None


def test_an_answer_to_a_probe_is_kept_back() -> None:
    keeps = Told().filter(is_answer=lambda message: message == "pong")
    assert [keeps("pong"), keeps("news"), keeps(b"pong")] == [True, False, False]


@pytest.mark.parametrize("deliver_acks", [True, False])
def test_an_acknowledgement_is_passed_on_and_delivered_if_wanted(
    deliver_acks: bool,
) -> None:
    told = Told()
    keeps = told.filter(ack_of=ack_of, deliver_acks=deliver_acks)
    assert [keeps("ack 7"), keeps("news")] == [not deliver_acks, False]
    assert told.acknowledged == ["7"]


def test_an_acknowledgement_is_not_asked_whether_it_answers_a_probe() -> None:
    told = Told()
    keeps = told.filter(ack_of=ack_of, is_answer=lambda _: True)
    assert [keeps("ack 7"), keeps("other")] == [False, True]


@pytest.mark.parametrize("name", ["is_answer", "ack_of"])
def test_a_callable_that_raises_keeps_nothing_back_and_is_reported(name: str) -> None:
    def broken(_: object) -> Any:
        raise ZeroDivisionError

    told, callables = Told(), dict[str, Any]({name: broken})
    assert told.filter(**callables)("news") is False
    [(reported, failure)] = told.complaints
    assert reported == name
    assert isinstance(failure, ZeroDivisionError)
    assert (told.acknowledged, told.fatal) == ([], [])


def test_an_id_that_is_no_str_is_reported() -> None:
    told = Told()
    assert told.filter(ack_of=lambda _: 7, deliver_acks=False)("news") is False
    [(name, failure)] = told.complaints
    assert name == "ack_of"
    assert "ack_of" in str(failure)


def test_fatal_ends_the_session() -> None:
    because = PermissionError("kicked out")

    def kicked(_: object) -> bool:
        raise Fatal(because)

    told = Told()
    assert told.filter(is_answer=kicked)("bye") is False
    assert told.complaints == []
    assert len(told.fatal) == 1
