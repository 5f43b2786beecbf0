"""Codes, reasons and the record of a closing handshake."""

from __future__ import annotations

import pytest

from resilient_ws.protocol.close import (
    Close,
    CloseFrame,
    check_close,
    is_legal_on_wire,
    meaning,
    read_close,
)


LEGAL = [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


def test_exactly_the_registered_and_private_codes_are_legal_on_the_wire() -> None:
    assert [code for code in range(-1, 70000) if is_legal_on_wire(code)] == LEGAL


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-1, "not a close code"),
        (999, "not a close code"),
        (1000, "normal closure"),
        (1001, "going away"),
        (1006, "abnormal closure"),
        (1012, "service restart"),
        (1015, "TLS handshake failed"),
        (1016, "reserved for future standards"),
        (2999, "reserved for future standards"),
        (3000, "unauthorized"),
        (3001, "registered for a library or framework"),
        (3003, "forbidden"),
        (3008, "timeout"),
        (4000, "private use, see the server's documentation"),
        (4999, "private use, see the server's documentation"),
        (5000, "not a close code"),
    ],
)
def test_every_code_has_words(code: int, words: str) -> None:
    assert meaning(code) == words


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_an_illegal_code_is_refused_with_a_remedy(code: int) -> None:
    with pytest.raises(ValueError, match=f"^code {code} .*use 1000"):
        check_close(code, "")


def test_a_reason_is_measured_in_bytes() -> None:
    assert check_close(1000, "é" * 61) == b"\x03\xe8" + "é".encode() * 61
    with pytest.raises(ValueError, match=r"^reason is 124 bytes .* 123, so shorten it"):
        check_close(1000, "é" * 62)


@pytest.mark.parametrize("reason", ["\ud83d", "bye\udc80", "\ude00\ud83d"])
def test_a_reason_that_has_no_utf_8_is_named(reason: str) -> None:
    with pytest.raises(ValueError, match=r"^reason must not contain lone surr") as bad:
        check_close(1000, reason)
    assert not isinstance(bad.value, UnicodeError)


@pytest.mark.parametrize("code", LEGAL[:20])
def test_what_is_written_is_what_is_read(code: int) -> None:
    assert read_close(check_close(code, "why")) == CloseFrame(code=code, reason="why")


def test_an_empty_close_frame_reads_as_1005() -> None:
    assert read_close(b"") == CloseFrame(code=1005)


def record(**changes: object) -> Close:
    fields: dict[str, object] = {
        "code": 1001,
        "reason": "bye",
        "initiator": "peer",
        "clean": True,
    }
    return Close(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("close", "sentence"),
    [
        (record(), 'closed by the server with 1001 (going away: "bye"), clean'),
        (record(reason=""), "closed by the server with 1001 (going away), clean"),
        (
            record(code=1000, reason="", initiator="us", clean=False),
            "closed by us with 1000 (normal closure), not clean",
        ),
        (record(code=1005, reason=""), "closed by the server without a code, clean"),
        (
            record(reason='a\n"b"\x1b'),
            r'closed by the server with 1001 (going away: "a\n\"b\"\x1b"), clean',
        ),
    ],
)
def test_a_close_says_itself_in_one_line(close: Close, sentence: str) -> None:
    assert str(close) == sentence
