"""Whatever a server sends, one call of ``receive`` does a bounded amount of work."""

from __future__ import annotations

import gc
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.protocol.deflate import DeflateParameters
from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.work import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    MAX_MESSAGES,
    MAX_STEPS,
    STREAM_STEPS,
)
from tests.hostile.streams import BOMB, COMPRESSED, DEFLATED, STREAMS, deflated
from tests.protocol import server_frame as frame


if TYPE_CHECKING:
    from collections.abc import Iterator

#: The most calls to look at: a bomb takes a thousand, which are all alike.
CALLS = 20
#: What one read brings, and the most that zlib is given or gives at once.
READ = 256 * 1024
PIECE_IN = 64 * 1024 + 4
PIECE_OUT = 256 * 1024


class Zlib:
    """Counts what inflating does: its states, the bytes in, the bytes out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states = self.taken = self.made = self.calls = 0
        make = zlib.decompressobj
        monkeypatch.setattr(
            zlib, "decompressobj", lambda **options: Counted(make(**options), self)
        )

    def reset(self) -> None:
        self.states = self.taken = self.made = self.calls = 0


class Counted:
    """One state of zlib's that is counted."""

    def __init__(self, stream: Any, counts: Zlib) -> None:
        self._stream = stream
        self._counts = counts
        counts.states += 1

    def decompress(self, data: bytes, most: int) -> bytes:
        made: bytes = self._stream.decompress(data, most)
        left = max(len(self._stream.unconsumed_tail), len(self._stream.unused_data))
        self._counts.calls += 1
        self._counts.taken += len(data) - left
        self._counts.made += len(made)
        return made

    def copy(self) -> Counted:
        return Counted(self._stream.copy(), self._counts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def reads(name: str) -> Iterator[bytes]:
    """The first reads of a stream, as large as they can be."""
    data = b""
    for piece in STREAMS[name]():
        data += piece
        if len(data) >= 2 * READ:
            break
    return (data[at : at + READ] for at in range(0, len(data), READ))


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("name", [n for n in STREAMS if n != "a byte at a time"])
def test_the_work_of_a_call_is_bounded(
    name: str, takeover: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = list(reads(name))
    counts = Zlib(monkeypatch)
    engine, messages = Engine(), list[str | bytes]()
    if name in COMPRESSED:
        engine.use(DeflateParameters(peer_takeover=takeover))

    def call(data: bytes) -> None:
        messages.clear()
        engine.pings.clear()
        engine.pongs.clear()
        counts.reset()
        engine.receive(data, messages.append, 1 << 30)
        assert len(messages) <= MAX_MESSAGES
        assert len(engine.pings) + len(engine.pongs) <= MAX_STEPS
        assert counts.calls <= MAX_STEPS + 1
        assert counts.states <= MAX_STEPS // STREAM_STEPS + 1
        assert counts.taken <= MAX_STEPS * (DEFLATED_PER_STEP + 5) + PIECE_IN
        assert counts.made <= MAX_STEPS * INFLATED_PER_STEP + PIECE_OUT

    for chunk in chunks:
        call(chunk)
        calls = 1
        while engine.spent and calls < CALLS:
            call(b"")
            calls += 1


def test_a_bomb_within_a_message_goes_on_in_the_next_call() -> None:
    engine, messages = Engine(max_message_size=None), list[str | bytes]()
    engine.use(DeflateParameters())
    size = 64 * 1024 * 1024
    stream = zlib.compressobj(9, wbits=-15)
    payload = stream.compress(bytes(size)) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    data = frame(2, payload, rsv=DEFLATED) + frame(1, b"next")
    engine.receive(data, messages.append, 10)
    calls = 1
    while engine.stalled:
        assert engine.spent
        assert messages == []
        engine.receive(b"", messages.append, 10)
        calls += 1
    assert calls == size // (MAX_STEPS * INFLATED_PER_STEP) + 1
    assert messages == [bytes(size), "next"]


def test_what_comes_while_a_message_is_inflated_waits_for_it() -> None:
    engine, messages = Engine(), list[str | bytes]()
    engine.use(DeflateParameters())
    engine.receive(deflated(bytes(BOMB)) * 3, messages.append, 10)
    assert (engine.stalled, engine.spent) == (True, True)
    engine.receive(b"", messages.append, 0)
    assert (engine.stalled, engine.spent) == (True, False)
    for byte in frame(9, b"p"):
        engine.receive(bytes([byte]), messages.append, 0)
    assert messages == [bytes(BOMB)]
    assert engine.pings == []
    while engine.stalled:
        engine.receive(b"", messages.append, 10)
    assert messages == [bytes(BOMB)] * 3
    assert engine.pings == [b"p"]


def test_fragments_by_the_thousand_do_not_have_garbage_collected() -> None:
    # The collector would look at all that the process has: tens of milliseconds.
    engine, messages = Engine(), list[str | bytes]()
    flood = frame(1, b"", fin=False) + frame(0, b"x", fin=False) * (4 * MAX_STEPS)
    collections: list[str] = []

    def note(phase: str, _: object) -> None:
        collections.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        engine.receive(flood, messages.append, 10)
        while engine.spent:
            engine.receive(b"", messages.append, 10)
    finally:
        gc.callbacks.remove(note)
    assert collections == []
