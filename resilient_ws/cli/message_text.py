"""Put each message of a server on one line of text."""

from __future__ import annotations

import base64
import enum
import json

from resilient_ws import printable


class BinaryFormat(enum.StrEnum):
    """How a binary message is written as text."""

    BASE64 = "base64"
    HEX = "hex"

    def encode(self, message: bytes) -> str:
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
