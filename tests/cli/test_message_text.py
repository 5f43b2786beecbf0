"""A message is one line of text, which cannot control a terminal."""

from __future__ import annotations

import pytest

from resilient_ws.cli.message_text import BinaryFormat, one_line, safe_for_terminal


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines", "two\\nlines"),
        ("\r\n", "\\r\\n"),
        ('{\n  "a": 1.10\n}', '{   "a": 1.10 }'),
        ('"a\\nb"', '"a\\nb"'),
        ("[" * 100_000 + "\n", "[" * 100_000 + "\\n"),
    ],
)
def test_a_message_is_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_binary_is_text() -> None:
    assert BinaryFormat.BASE64.text_of(b"\x00\xff") == "AP8="
    assert BinaryFormat.HEX.text_of(b"\x00\xff") == "00ff"


def test_a_server_cannot_steer_the_terminal() -> None:
    assert (
        safe_for_terminal("a\x1b[2Jb\x9bc\u202e\td é") == "a\\x1b[2Jb\\x9bc\\u202e\td é"
    )
