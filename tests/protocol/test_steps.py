"""Whatever a server sends, one call of ``receive`` does a bounded amount of work."""

from __future__ import annotations

import gc
import random
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.steps import (
    DEFLATED_PER_STEP,
    INFLATED_PER_STEP,
    MAX_MESSAGES,
    MAX_STEPS,
    STREAM_STEPS,
)
from tests.hostile.streams import BOMB, COMPRESSED, DEFLATED, STREAMS, deflated
from tests.protocol import server_frame as frame
from tests.protocol.owner import give


if TYPE_CHECKING:
    from collections.abc import Iterator

#: The most calls to look at: a bomb takes a thousand, which are all alike.
CALLS = 20
#: What one read brings, and the most that zlib is given or gives at once.
READ = 256 * 1024
PIECE_IN = 64 * 1024 + 4
PIECE_OUT = 256 * 1024


#: Each of them on each zlib.
pytestmark = pytest.mark.usefixtures("each_zlib")


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
    receiver, messages = Engine().receiver, list[str | bytes]()
    if name in COMPRESSED:
        receiver.enable_compression(bits=15, takeover=takeover)

    def call(data: bytes) -> None:
        messages.clear()
        receiver.pings.clear()
        receiver.pongs.clear()
        counts.reset()
        give(receiver, data, messages)
        assert len(messages) <= MAX_MESSAGES
        assert len(receiver.pings) + len(receiver.pongs) <= MAX_STEPS
        assert counts.calls <= MAX_STEPS + 1
        assert counts.states <= MAX_STEPS // STREAM_STEPS + 1
        assert counts.taken <= MAX_STEPS * (DEFLATED_PER_STEP + 5) + PIECE_IN
        assert counts.made <= MAX_STEPS * INFLATED_PER_STEP + PIECE_OUT

    for chunk in chunks:
        call(chunk)
        calls = 1
        while receiver.out_of_steps and calls < CALLS:
            call(b"")
            calls += 1


def test_a_first_piece_of_each_message_counts_like_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One byte more than zlib gives at once, from 260 bytes: a read has 80 MiB of them.
    counts = Zlib(monkeypatch)
    receiver, messages = Engine().receiver, list[str | bytes]()
    receiver.enable_compression(bits=15, takeover=True)
    read = deflated(bytes(PIECE_OUT + 1)) * (READ // 300)
    give(receiver, read, messages)
    assert receiver.out_of_steps
    assert counts.made <= MAX_STEPS * INFLATED_PER_STEP + PIECE_OUT
    assert sum(map(len, messages)) > 3 * 1024 * 1024


def test_a_read_of_messages_that_do_not_shrink_is_one_call() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    receiver.enable_compression(bits=15, takeover=True)
    message = random.Random(3).randbytes(16 * 1024 - 16)
    read = deflated(message) * 16
    assert READ - 1024 < len(read) <= READ
    assert give(receiver, read, messages) == 16
    assert messages == [message] * 16


def test_a_call_that_has_done_more_than_enough_takes_no_plain_messages() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    receiver.enable_compression(bits=15, takeover=True)
    # Each is a step, and the bytes that come out of zlib are some more.
    read = deflated(bytes(100)) * MAX_STEPS + frame(1, b"plain") * 10
    assert give(receiver, read, messages) == MAX_STEPS
    assert receiver.out_of_steps
    assert give(receiver, b"", messages) == 10


def test_a_bomb_within_a_message_goes_on_in_the_next_call() -> None:
    receiver, messages = Engine(max_message_size=None).receiver, list[str | bytes]()
    receiver.enable_compression(bits=15, takeover=True)
    size = 64 * 1024 * 1024
    stream = zlib.compressobj(9, wbits=-15)
    payload = stream.compress(bytes(size)) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    data = frame(2, payload, rsv=DEFLATED) + frame(1, b"next")
    give(receiver, data, messages, 10)
    calls = 1
    while receiver.stalled:
        assert receiver.out_of_steps
        assert messages == []
        give(receiver, b"", messages, 10)
        calls += 1
    assert calls == size // (MAX_STEPS * INFLATED_PER_STEP) + 1
    assert messages == [bytes(size), "next"]


def test_what_comes_while_a_message_is_inflated_waits_for_it() -> None:
    receiver, messages = Engine().receiver, list[str | bytes]()
    receiver.enable_compression(bits=15, takeover=True)
    give(receiver, deflated(bytes(BOMB)) * 3, messages, 10)
    assert (receiver.stalled, receiver.out_of_steps) == (True, True)
    give(receiver, b"", messages, 0)
    assert (receiver.stalled, receiver.out_of_steps) == (True, False)
    for byte in frame(9, b"p"):
        give(receiver, bytes([byte]), messages, 0)
    assert messages == [bytes(BOMB)]
    assert receiver.pings == []
    while receiver.stalled:
        give(receiver, b"", messages, 10)
    assert messages == [bytes(BOMB)] * 3
    assert receiver.pings == [b"p"]


def test_fragments_by_the_thousand_do_not_have_garbage_collected() -> None:
    # The collector would look at all that the process has: tens of milliseconds.
    receiver, messages = Engine().receiver, list[str | bytes]()
    flood = frame(1, b"", fin=False) + frame(0, b"x", fin=False) * (4 * MAX_STEPS)
    collections: list[str] = []

    def note(phase: str, _: object) -> None:
        collections.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        give(receiver, flood, messages, 10)
        while receiver.out_of_steps:
            give(receiver, b"", messages, 10)
    finally:
        gc.callbacks.remove(note)
    assert collections == []
