"""Close codes, close frames and the record of a closing handshake.

RFC 6455 sections 5.5.1 and 7, and the IANA registry of close codes.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

from resilient_ws.protocol.text import quoted
from resilient_ws.protocol.violation import BAD_REASON, BrokenRule, Violation


#: Stands for a close frame without a code; never sent.
NO_CODE: Final = 1005

#: A control frame carries 125 bytes, and two of them are the code.
MAX_REASON: Final = 123

_LEGAL: Final = (range(1000, 1004), range(1007, 1015), range(3000, 5000))

_MEANINGS: Final = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1004: "reserved",
    1005: "no code",
    1006: "abnormal closure",
    1007: "invalid payload",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension required",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failed",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}

#: The meanings of all other codes, by the last code of each range.
_RANGES: Final = (
    (999, "not a close code"),
    (2999, "reserved for future standards"),
    (3999, "registered for a library or framework"),
    (4999, "private use, see the server's documentation"),
)


@attrs.frozen(kw_only=True)
class CloseFrame:
    """One close frame as it was on the wire.

    Attributes:
        code: The close code; 1005 if the frame had none.
        reason: The close reason, as it was on the wire.
    """

    code: int
    reason: str = ""


@attrs.frozen(kw_only=True)
class Close:
    """The record of a closing handshake, as far as it went (RFC 6455 section 7.1).

    Attributes:
        code: The close code of the initiator; 1005 if its frame had none.
        reason: The close reason of the initiator, as it was on the wire;
            ``printable`` makes it safe to log.
        initiator: The side that closed first, ``"peer"`` or ``"us"``.
        clean: Whether both sides have sent a close frame.
        sent: Our close frame, if one was sent.
        received: The peer's close frame, if one came.
    """

    code: int
    reason: str
    initiator: Literal["peer", "us"]
    clean: bool
    sent: CloseFrame | None = None
    received: CloseFrame | None = None

    def __str__(self) -> str:
        """Describe the close in one phrase that is safe to log."""
        who = "the server" if self.initiator == "peer" else "us"
        words = meaning(self.code)
        if self.reason:
            words += f": {quoted(self.reason)}"
        code = "out a code" if self.code == NO_CODE else f" {self.code} ({words})"
        return f"closed by {who} with{code}, {'clean' if self.clean else 'not clean'}"


def meaning(code: int) -> str:
    """Return what a close code means, in a few words."""
    if code in _MEANINGS:
        return _MEANINGS[code]
    for last, words in _RANGES:
        if code <= last:
            return words
    return "not a close code"


def is_legal_on_wire(code: int) -> bool:
    """Tell whether a close frame may carry this code (RFC 6455 section 7.4)."""
    return any(code in codes for codes in _LEGAL)


def check_close(code: int, reason: str) -> bytes:
    """Return the payload of a close frame that a user asks for.

    Raises:
        ValueError: The code may not be sent, or the reason is too long or not Unicode.
    """
    if not is_legal_on_wire(code):
        raise ValueError(
            f"code {code} may not be sent in a close frame ({meaning(code)}): "
            "use 1000 for a normal end, or one from 3000 to 4999"
        )
    try:
        text = reason.encode()
    except UnicodeEncodeError:
        raise ValueError(
            "reason must not contain lone surrogates, which UTF-8 cannot encode: "
            "replace them, or decode with errors='replace'"
        ) from None
    if len(text) > MAX_REASON:
        raise ValueError(
            f"reason is {len(text)} bytes of UTF-8: a close frame has room for "
            f"{MAX_REASON}, so shorten it"
        )
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> CloseFrame:
    """Parse the payload of a close frame that the peer sent.

    Raises:
        BrokenRule: The payload breaks RFC 6455 section 5.5.1 or 7.4.
    """
    if not payload:
        return CloseFrame(code=NO_CODE)
    if len(payload) == 1:
        raise _broken("the server sent a close frame with half a code")
    code = int.from_bytes(payload[:2], "big")
    if not is_legal_on_wire(code):
        raise _broken(
            f"the server sent the illegal close code {code} ({meaning(code)})"
        )
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise BrokenRule(BAD_REASON) from None
    return CloseFrame(code=code, reason=reason)


def _broken(text: str) -> BrokenRule:
    return BrokenRule(Violation(code=1002, text=text))
