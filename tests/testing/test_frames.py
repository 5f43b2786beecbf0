"""The frames that a test may write, to the byte; the client's are judged elsewhere."""

from __future__ import annotations

import pytest

from resilient_ws.testing.frames import PING, close_frame, frame, message


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65_535, "82 7e ff ff"),
        (65_536, "82 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_a_message_has_the_shortest_length_there_is(size: int, head: str) -> None:
    assert message(bytes(size)) == bytes.fromhex(head) + bytes(size)


def test_a_message_of_text_is_utf8() -> None:
    assert message("grün") == b"\x81\x05gr\xc3\xbcn"


def test_a_frame_may_be_illegal() -> None:
    assert frame(PING, b"?", fin=False, rsv=4) == b"\x49\x01?"
    assert frame(15) == b"\x8f\x00"


def test_a_close_frame_may_be_without_a_code() -> None:
    assert close_frame(1012, "later") == b"\x88\x07\x03\xf4later"
    assert close_frame(None) == b"\x88\x00"
