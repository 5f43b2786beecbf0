"""Gives both twins the same, and fails where what comes out differs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

import attrs
import pytest

from resilient_ws.protocol import pure
from resilient_ws.protocol.frames import mask


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: What to do about a test that is left out.
MISSING: Final = "the part in C is not built: it takes a compiler (apt-get install gcc)"

Sendable: TypeAlias = "str | bytes | bytearray | memoryview"


class Twin(Protocol):
    """The functions of one of the two."""

    def walk(
        self,
        view: memoryview,
        pos: int,
        deliver: Callable[[str | bytes], object],
        room: int,
        limit: int,
        /,
    ) -> tuple[int, int, int, int]: ...

    def frame(self, message: Any, take_key: Any, mask: Any, /) -> bytes: ...

    def frames(self, messages: Any, take_key: Any, mask: Any, /) -> bytes: ...


def built() -> Twin:
    """Return the twin in C, as it was built with the package; skip without one.

    Raises:
        ImportError: It was not built, and CI builds it.
    """
    if os.environ.get("CI") != "true":
        pytest.importorskip("resilient_ws.protocol.compiled", reason=MISSING)
    return cast("Twin", import_module("resilient_ws.protocol.compiled"))


PURE: Final[Twin] = pure


class Broken(Exception):
    """What a consumer raises that should not."""


# --- receiving -----------------------------------------------------------------------


@attrs.frozen
class Chunk:
    """What a walk is given."""

    data: bytes
    #: Bytes behind it in its buffer, from an older chunk.
    stale: bytes = b""
    pos: int = 0
    room: int = 1 << 30
    limit: int = 1 << 30
    #: Take messages with a function, and not with the append of a list.
    by_call: bool = False
    #: Raise at this message.
    raise_at: int = -1


@attrs.frozen
class Walked:
    """What came of it."""

    messages: list[str | bytes]
    returned: tuple[int, int, int, int] | None


def walked(twin: Twin, chunk: Chunk) -> Walked:
    """Have one twin walk over a chunk."""
    buffer = bytearray(chunk.data + chunk.stale)
    view = memoryview(buffer)[: len(chunk.data)]
    found: list[str | bytes] = []

    def deliver(message: str | bytes) -> None:
        if len(found) == chunk.raise_at:
            raise Broken
        found.append(message)

    by_call = chunk.by_call or chunk.raise_at >= 0
    take = deliver if by_call else found.append
    try:
        returned = twin.walk(view, chunk.pos, take, chunk.room, chunk.limit)
    except Broken:
        return Walked(found, None)
    # Nothing may refer to the buffer from now on.
    view.release()
    buffer.clear()
    return Walked(found, returned)


def compare_walks(compiled: Twin, chunk: Chunk) -> Walked:
    """Fail unless both twins take the same of a chunk; return what they took."""
    expected, actual = walked(PURE, chunk), walked(compiled, chunk)
    assert actual == expected, f"{chunk}: {actual} and not {expected}"
    assert list(map(type, actual.messages)) == list(map(type, expected.messages))
    held, right = references(actual.messages), references(expected.messages)
    assert held == right, f"{chunk}: {held} references and not {right}"
    return expected


def references(messages: Sequence[Sendable]) -> list[int]:
    """Count the references to each message, but to those that Python shares.

    From 3.12 on these are immortal. A library that was built with the headers of 3.11
    moves their count by one, and the next count up sets it right.
    """
    return [sys.getrefcount(item) for item in messages if len(item) > 1]


# --- sending -------------------------------------------------------------------------


def keys() -> Callable[[], bytes]:
    """Return a source of keys, the same each time."""
    return map(bytes, ([n, 255 - n, n ^ 90, 7] for n in _rising())).__next__


def _rising() -> Iterable[int]:
    number = 0
    while True:
        yield number % 256
        number += 1


def framed(twin: Twin, messages: Sequence[Sendable]) -> tuple[object, object]:
    """Have one twin frame messages, each by itself, and then all of them at once."""
    take = keys()
    try:
        singly = b"".join([twin.frame(item, take, mask) for item in messages])
        return singly, twin.frames(messages, keys(), mask)
    except UnicodeEncodeError as error:
        return type(error), error.start


def compare_frames(compiled: Twin, messages: Sequence[Sendable]) -> None:
    """Fail unless both twins make the same frames, and hold no message."""
    expected, before = framed(PURE, messages), references(messages)
    actual, after = framed(compiled, messages), references(messages)
    assert actual == expected, f"{messages!r}: {actual!r} and not {expected!r}"
    assert after == before, f"{messages!r}: {after} references and not {before}"
