"""Put each message of a server on one line of text."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import json

from resilient_ws import printable
from resilient_ws.cli.pretty import pretty


class BinaryFormat(enum.StrEnum):
    """How a binary message is written as text."""

    BASE64 = "base64"
    HEX = "hex"

    def text_of(self, message: bytes) -> str:
        """Return the message as text."""
        if self is BinaryFormat.HEX:
            return message.hex()
        return base64.b64encode(message).decode()


def one_line(text: str) -> str:
    """Return a text message without line breaks.

    In JSON, line breaks occur only as white space between tokens, so a space in their
    place keeps the value the same.
    """
    if "\n" not in text and "\r" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text.replace("\r", "\\r").replace("\n", "\\n")
    return text.replace("\r", " ").replace("\n", " ")


def safe_for_terminal(text: str) -> str:
    """Return a message with escapes for what could control a terminal. Tabs stay."""
    return "\t".join(map(printable, text.split("\t")))


class Printer:
    """Puts messages into text as the command line asks for it.

    Args:
        binary: How binary messages are written.
        pretty: Whether JSON is indented, on several lines.
        timestamps: Whether the time stands before each message, in UTC.
        escapes: Whether to escape what could control a terminal.
    """

    def __init__(
        self, *, binary: BinaryFormat, pretty: bool, timestamps: bool, escapes: bool
    ) -> None:
        self._binary = binary
        self._pretty = pretty
        self._timestamps = timestamps
        self._escapes = escapes

    def text_of(self, message: str | bytes) -> str:
        """Return a message that has just come."""
        text = self._shown(message)
        if self._timestamps:
            now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            return f"{now.removesuffix('+00:00')}Z {text}"
        return text

    def _shown(self, message: str | bytes) -> str:
        if isinstance(message, bytes):
            return self._binary.text_of(message)
        indented = pretty(message) if self._pretty else None
        if indented is None:
            text = one_line(message)
            return safe_for_terminal(text) if self._escapes else text
        if not self._escapes:
            return indented
        return "\n".join(map(safe_for_terminal, indented.split("\n")))
