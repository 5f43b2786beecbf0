"""What is wrong is found, named once, and answered with the right code."""

from __future__ import annotations

import pytest

from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.violation import Violation
from tests.protocol import close_frame, each_byte, server_frame as frame
from tests.protocol.broken_rules import VIOLATIONS
from tests.protocol.owner import Owner


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_broken_rule_is_a_violation_however_it_arrives(
    data: bytes, code: int
) -> None:
    before = frame(BINARY, b"before") + frame(PING, b"p")
    whole = Owner(before + data + frame(TEXT, b"after"), limit=100)
    violation = whole.receiver.violation
    assert violation is not None
    assert violation.code == code
    assert len(violation.text.encode()) <= 123
    assert whole.messages[:1] == [b"before"]
    assert "after" not in whole.messages
    assert not whole.receiver.stalled
    bytewise = Owner(*each_byte(before + data), limit=100)
    assert bytewise.seen() == whole.seen()
    # What it says fits the close frame that answers it.
    assert whole.engine.close(code, violation.text)
    assert whole.receiver.close_received is None


@pytest.mark.parametrize(
    ("size", "fits"), [(99, True), (100, True), (101, False), (200, False)]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_the_largest_size_that_fits(
    opcode: int, size: int, fits: bool
) -> None:
    whole = Owner(frame(opcode, b"a" * size), limit=100)
    halves = Owner(
        frame(opcode, b"a" * 50, fin=False) + frame(CONTINUATION, b"a" * (size - 50)),
        limit=100,
    )
    for run in (whole, halves):
        assert (run.receiver.violation is None) is fits
        assert len(run.messages) == fits


def test_a_long_text_that_is_not_utf_8_is_a_violation() -> None:
    run = Owner(frame(TEXT, b"a" * 200) + frame(TEXT, b"a" * 200 + b"\xff"))
    assert run.messages == ["a" * 200]
    assert run.receiver.violation is not None
    assert run.receiver.violation.code == 1007
    assert run.receiver.received_size == 200


def test_without_a_limit_every_size_fits() -> None:
    assert Owner(frame(BINARY, bytes(5 << 20)), limit=None).messages == [bytes(5 << 20)]


def test_the_default_limit_is_four_mebibytes() -> None:
    engine = Engine()
    engine.receiver.receive(
        memoryview(b"\x82\x7f" + (4 * 1024 * 1024).to_bytes(8, "big")), print, 1
    )
    assert engine.receiver.violation is None
    engine = Engine()
    engine.receiver.receive(
        memoryview(b"\x82\x7f" + (4 * 1024 * 1024 + 1).to_bytes(8, "big")), print, 1
    )
    assert engine.receiver.violation == Violation(
        code=1009,
        text="a message of at least 4194305 bytes, above our limit 4194304",
    )


def test_control_frames_are_not_under_the_message_limit() -> None:
    run = Owner(frame(PING, bytes(125)) + frame(TEXT, b""), limit=0)
    assert run.receiver.pings == [bytes(125)]
    assert run.messages == [""]


@pytest.mark.parametrize(
    "start",
    [
        b"\xff",
        b"\xc0",
        b"\xf5",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf0\x80",
        b"\xf4\x90",
        b"ok\xc3a",
    ],
)
def test_bad_utf_8_is_refused_before_its_frame_is_complete(start: bytes) -> None:
    for chunks in (
        [frame(TEXT, start + b"x" * 9)[:-9]],
        each_byte(b"\x81\x7d" + start),
    ):
        violation = Owner(*chunks).engine.receiver.violation
        assert violation is not None
        assert violation.code == 1007


def test_nothing_is_parsed_after_a_violation() -> None:
    run = Owner(frame(3))
    violation = run.receiver.violation
    assert run.receive(frame(TEXT, b"late") + frame(PING) + close_frame(1000)) == 0
    assert run.receive(b"") == 0
    assert run.receiver.violation is violation
    assert run.seen() == ([], [], [], violation, None, 0, False)


def test_a_violation_drops_what_was_held() -> None:
    run = Owner()
    run.receive(frame(3) + frame(TEXT, b"late"), room=0)
    assert run.receive(b"", room=5) == 0
    assert run.receiver.violation is not None
    assert not run.is_stalled()
