"""What leaves for the server, and how the connection is closed."""

from __future__ import annotations

import pytest

from resilient_ws.protocol.close import Close, CloseFrame
from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.frames import KeyPool
from tests.protocol import close_frame, server_frame as frame, unmask
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


# Sending


@pytest.mark.parametrize(
    ("data", "first", "payload"),
    [
        ("grün", 0x81, "grün".encode()),
        (b"\xff", 0x82, b"\xff"),
        (bytearray(b"ab"), 0x82, b"ab"),
        (memoryview(b"abcd")[::-1], 0x82, b"dcba"),
    ],
)
def test_text_and_bytes_go_as_what_they_are(
    data: str | bytes | bytearray | memoryview, first: int, payload: bytes
) -> None:
    assert unmask(Engine().message(data))[:2] == (first, payload)


def test_pings_and_pongs_carry_at_most_125_bytes() -> None:
    engine = Engine()
    assert unmask(engine.ping()) == (0x89, b"", 6)
    assert unmask(engine.ping(bytes(125)))[:2] == (0x89, bytes(125))
    assert unmask(engine.pong(b"p"))[:2] == (0x8A, b"p")
    for make in (engine.ping, engine.pong):
        with pytest.raises(ValueError, match="payload is 126 bytes"):
            make(bytes(126))


def test_masking_keys_come_from_the_given_source() -> None:
    engine = Engine(keys=KeyPool(lambda count: b"\x01\x02\x03\x04" * (count // 4)))
    assert engine.message(b"\x00\x00") == b"\x82\x82\x01\x02\x03\x04\x01\x02"


# Closing


def test_without_a_close_frame_there_is_no_record() -> None:
    assert Owner(frame(TEXT, b"a")).engine.record() is None


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", 1005, ""),
        (b"\x03\xe9", 1001, ""),
        (b"\x0f\xa1" + b"r" * 123, 4001, "r" * 123),
    ],
)
def test_a_close_from_the_peer_is_echoed(body: bytes, code: int, reason: str) -> None:
    engine = Owner(frame(CLOSE, body)).engine
    received = CloseFrame(code=code, reason=reason)
    assert engine.receiver.close_received == received
    assert engine.record() == Close(
        code=code, reason=reason, initiator="peer", clean=False, received=received
    )
    assert unmask(engine.close_reply())[:2] == (0x88, body)
    assert engine.close_reply() == b""
    assert engine.record() == Close(
        code=code,
        reason=reason,
        initiator="peer",
        clean=True,
        sent=received,
        received=received,
    )


def test_nothing_leaves_after_a_sent_close() -> None:
    engine = Engine()
    assert unmask(engine.close(1000, "bye"))[:2] == (0x88, b"\x03\xe8bye")
    assert engine.close(1001) == b""
    assert engine.close_sent == CloseFrame(code=1000, reason="bye")
    late = [
        engine.message("a"),
        engine.messages(["a", b"b"]),
        engine.ping(),
        engine.pong(),
    ]
    assert late == [b""] * 4


def test_messages_still_arrive_between_our_close_and_the_answer() -> None:
    run = Owner()
    run.engine.close(1000)
    run.receive(frame(TEXT, b"on its way") + close_frame(4000, b"theirs"))
    assert run.messages == ["on its way"]
    assert run.engine.close_reply() == b""
    assert run.engine.record() == Close(
        code=1000,
        reason="",
        initiator="us",
        clean=True,
        sent=CloseFrame(code=1000),
        received=CloseFrame(code=4000, reason="theirs"),
    )


def test_a_close_without_a_code_is_an_empty_frame() -> None:
    engine = Engine()
    assert unmask(engine.close(None)) == (0x88, b"", 6)
    record = engine.record()
    assert record is not None
    assert (record.code, record.initiator, record.clean) == (1005, "us", False)


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1006, "", "^code 1006"),
        (1000, "x" * 124, "^reason is 124"),
        (None, "why", "^reason needs a code"),
    ],
)
def test_a_close_that_may_not_be_sent_is_refused_and_changes_nothing(
    code: int | None, reason: str, text: str
) -> None:
    engine = Engine()
    with pytest.raises(ValueError, match=text):
        engine.close(code, reason)
    assert engine.close_sent is None
    assert engine.message("still open")


def test_there_is_nothing_to_reply_to_before_a_close() -> None:
    assert Engine().close_reply() == b""
