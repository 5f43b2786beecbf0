"""What a node means by the error with which it refuses a request for logs.

No code means the same thing everywhere: -32602, -32600, -32000 and -32005 each stand
for a range that is too wide at some providers, and for something else at others. So the
text decides, and the code only where the text says nothing. The texts are those of the
table in ``tests/feeds/evm/providers.py``, which names the source of each.

What follows is decided elsewhere: ``Stride`` narrows a range that was refused,
``NodeCalls`` and ``NodeConnection`` wait while the node is busy, and what is pruned
becomes a gap.

Rules: nothing here raises, whatever an error holds. The number of blocks that a node
says it gives is only a hint, and never makes a range wider than it was.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeGuard

import attrs

from resilient_ws.feeds.json import is_object


if TYPE_CHECKING:
    from resilient_ws.feeds.errors import RPCError


#: Characters of a text that are looked at.
MAX_TEXT: Final = 1_000
#: The most blocks or seconds that a hint may say; a longer number is no hint.
MAX_HINT: Final = 10**9


class Refusal(Enum):
    """Why a node did not answer with what it was asked for."""

    #: The range is too wide, whatever is in it.
    TOO_WIDE = "too wide"
    #: There is too much in the range, or it took too long.
    TOO_MUCH = "too much"
    #: Too many requests, or a node that is overloaded or broken: later it may answer.
    BUSY = "busy"
    #: The node does not have the block yet, or not any more.
    ABSENT = "absent"
    #: The node has forgotten what is so old, or does not give it to this user.
    PRUNED = "pruned"
    #: Anything else, such as a filter that the node does not take.
    REFUSED = "refused"


@attrs.frozen
class Understood:
    """What an error says.

    Attributes:
        refusal: Why the node refused.
        blocks: How many blocks it would give, where it says so.
        after: The seconds after which it may be asked again, where it says so.
    """

    refusal: Refusal
    blocks: int | None = None
    after: float | None = None


#: The codes that mean one thing only, if the text says nothing.
_BY_CODE: Final = {
    429: Refusal.BUSY,
    500: Refusal.BUSY,
    502: Refusal.BUSY,
    503: Refusal.BUSY,
    504: Refusal.BUSY,
    4444: Refusal.PRUNED,
    35: Refusal.TOO_WIDE,
    -32002: Refusal.TOO_MUCH,
    -32005: Refusal.TOO_MUCH,
    -32007: Refusal.BUSY,
    -32012: Refusal.TOO_WIDE,
    -32014: Refusal.ABSENT,
    -32020: Refusal.TOO_MUCH,
    -32047: Refusal.TOO_WIDE,
    -32062: Refusal.TOO_WIDE,
    -32090: Refusal.BUSY,
    -32603: Refusal.BUSY,  # JSON-RPC 2.0, section 5.1: an internal error
    -32614: Refusal.TOO_WIDE,
    -32701: Refusal.TOO_WIDE,
}

# In this order: the first with a text that is found decides.
_TEXTS: Final = {
    Refusal.BUSY: (
        "too many requests",
        "rate[ -]?limit",
        "request count exceeded",
        "compute units per second",
        "second request limit",
        "server (?:is )?busy",
        "temporarily unavailable",
        "over capacity",
        "try again later",
    ),
    Refusal.PRUNED: (
        "pruned",
        "pruning",
        "missing trie node",
        "archive request",
        "archive node",
        "historical state",
        "neither stored nor reproducible",
        "no state available",
        "earliest available",
    ),
    Refusal.ABSENT: (
        "beyond current head",
        "beyond latest",
        "beyond head",
        "out of range",
        "header (?:for hash )?not found",
        "unknown block",
        "unknown header",
        "block not found",
        "(?:could not|cannot) be found",
        "resource not found",
        "not yet imported",
    ),
    # Before what is too wide: texts of this kind tell of ranges as well.
    Refusal.TOO_MUCH: (
        "response size exceeded",
        "response (?:is )?too (?:large|big)",
        "max results",
        "returned more than",
        "returns? too many",
        "matched by query",
        "too many (?:logs|results)",
        "result set too large",
        "max logs",
        "time[d]?[ -]?out",
        "took too long",
        "exceeds? size limit",
        r"limit exceeded\.?$",
    ),
    Refusal.TOO_WIDE: (
        "range",
        "too many blocks",
        "blocks? distance",
        "requested blocks",
        "wide",
        r"most \d+ blocks",
        "query must be smaller",
        "is limited to",
    ),
}
_BY_TEXT: Final = tuple(
    (refusal, re.compile("|".join(texts), re.IGNORECASE))
    for refusal, texts in _TEXTS.items()
)
#: A text that tells of blocks after all, such as "Log response size exceeded. Maximum
#: allowed number of requested blocks is 1000".
_OF_BLOCKS: Final = re.compile(
    r"number of requested blocks|block range limit exceeded", re.IGNORECASE
)
#: The node, or a proxy before it, is broken for now: whatever else the text says, such
#: as "internal error: query returned more than 10000 results", goes before.
_BROKEN: Final = re.compile(
    "internal (?:server |json-rpc )?error|service unavailable|bad gateway",
    re.IGNORECASE,
)
#: Parameters that make no sense, and no smaller range would.
_NONSENSE: Final = re.compile(r"invalid block range|fromBlock.*greater", re.IGNORECASE)

_HEX_PAIR: Final = re.compile(
    r"\[\s*0x([0-9a-f]{1,16})\s*,\s*0x([0-9a-f]{1,16})\s*\]", re.IGNORECASE
)
_DECIMAL_PAIR: Final = re.compile(r"with the range (\d{1,18})-(\d{1,18})")
_NUMBER: Final = r"(\d[\d,_]{0,14})\s?(k\b)?"
_CAPS: Final = tuple(
    re.compile(text, re.IGNORECASE)
    for text in (
        rf"limited to (?:a )?(?:0 - )?{_NUMBER}",
        rf"up to (?:a |an )?{_NUMBER} block",
        rf"max(?:imum)?(?: allowed)?(?: block)?s? range(?: of| is)? ?[:=]? ?{_NUMBER}",
        rf"maximum (?:is|allowed is)(?: set to)? {_NUMBER}",
        rf"\(maximum {_NUMBER}\)",
        rf"requested blocks is {_NUMBER}",
        rf"range \d+ exceeds (?:the )?limit of {_NUMBER}",
        rf"blocks? distance:? ?{_NUMBER}",
        rf"ranges? (?:over|greater than) {_NUMBER}",
        rf"the limit is {_NUMBER}",
        rf"at most {_NUMBER} blocks",
        rf"smaller than size {_NUMBER}",
    )
)
_AFTER: Final = re.compile(
    r"(?:retry|try again) (?:in|after) (?:(\d{1,6})m)?(?:(\d{1,6})s)?"
)


def understood(error: RPCError) -> Understood:
    """Return what an error with which a node refused logs says.

    Args:
        error: The error.
    """
    text = _text_of(error)
    refusal = _refusal(error.code, text)
    if refusal is Refusal.BUSY:
        return Understood(refusal, after=_after(error, text))
    if refusal in (Refusal.TOO_WIDE, Refusal.TOO_MUCH):
        blocks = _suggested(error, text)
        if blocks is None and refusal is Refusal.TOO_WIDE:
            blocks = _cap(error, text)
        return Understood(refusal, blocks=blocks)
    return Understood(refusal)


def _refusal(code: int, text: str) -> Refusal:
    if _NONSENSE.search(text):
        return Refusal.REFUSED
    if _OF_BLOCKS.search(text):
        return Refusal.TOO_WIDE
    for refusal, pattern in _BY_TEXT:
        if pattern.search(text):
            return refusal
    if _BROKEN.search(text):
        return Refusal.BUSY
    return _BY_CODE.get(code, Refusal.REFUSED)


def _text_of(error: RPCError) -> str:
    """Return the message, and what is said in the data: Nethermind hides it there."""
    text = error.message[:MAX_TEXT]
    if isinstance(error.data, str):
        text = f"{text} {error.data[:MAX_TEXT]}"
    return text


def _suggested(error: RPCError, text: str) -> int | None:
    """Return how many blocks there are in the range that the node suggests."""
    data = error.data
    if is_object(data):
        first, last = _quantity(data.get("from")), _quantity(data.get("to"))
        if first is not None and last is not None:
            return _blocks(first, last)
    found = _HEX_PAIR.search(text)
    if found:
        return _blocks(int(found[1], 16), int(found[2], 16))
    found = _DECIMAL_PAIR.search(text)
    if found:
        return _blocks(int(found[1]), int(found[2]))
    return None


def _cap(error: RPCError, text: str) -> int | None:
    """Return how many blocks the node says it gives at most."""
    data = error.data
    if is_object(data) and is_object(details := data.get("details")):
        allowed = details.get("maxAllowedRange")
        if type(allowed) is int and 0 < allowed <= MAX_HINT:
            return allowed
    for pattern in _CAPS:
        found = pattern.search(text)
        if found:
            number = int(found[1].replace(",", "").replace("_", ""))
            number *= 1000 if found[2] else 1
            return number if 0 < number <= MAX_HINT else None
    return None


def _after(error: RPCError, text: str) -> float | None:
    """Return the seconds after which the node wants to be asked again."""
    data = error.data
    if is_object(data) and is_object(rate := data.get("rate")):  # Infura
        asked = rate.get("backoff_seconds")
        if _is_number(asked) and 0 <= asked <= MAX_HINT:
            return float(asked)
    found = _AFTER.search(text)
    if found and (found[1] or found[2]):
        return int(found[1] or 0) * 60.0 + int(found[2] or 0)
    return None


def _blocks(first: int, last: int) -> int | None:
    blocks = last - first + 1
    return blocks if 0 < blocks <= MAX_HINT else None


def _quantity(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value):
        return int(value, 16)
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
