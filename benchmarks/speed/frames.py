"""The server's side of the wire format: what is sent is made before it is timed."""

from __future__ import annotations

import functools
import itertools
import random
import zlib
from base64 import b64encode
from hashlib import sha1
from typing import Final, TypeAlias

from resilient_ws.testing.frames import frame


Message: TypeAlias = str | bytes

#: How many different messages there are at least; they come round and round.
VARIETY: Final = 64
#: And how many bytes they have together at least, and at most. The least is more than
#: the largest window of a compressor, which would find each message there as a whole.
LEAST_BYTES: Final = 128 * 1024
MOST_BYTES: Final = 4 * 1024 * 1024
#: What the server writes at once.
CHUNK: Final = 256 * 1024
TAIL: Final = b"\x00\x00\xff\xff"


def accept(key: str) -> str:
    digest = sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    return b64encode(digest).decode()


@functools.cache
def messages(kind: str, size: int) -> list[Message]:
    """The messages of a scenario, the same in every process."""
    count = max(4, min(max(VARIETY, LEAST_BYTES // size), MOST_BYTES // size))
    chance = random.Random(size)
    if kind == "binary":
        return [chance.randbytes(size) for _ in range(count)]
    return [trade(number, size, chance) for number in range(count)]


def trade(number: int, size: int, chance: random.Random) -> str:
    """What a feed of an exchange looks like, cut to size."""
    text = f'{{"n":{number}'
    while len(text) < size:
        text += (
            f',"s":"BTCUSDT","p":"{chance.uniform(4e4, 5e4):.2f}",'
            f'"q":"{chance.random():.5f}","t":{chance.randrange(10**12, 2 * 10**12)}'
        )
    return text[: size - 1] + "}"


def numbered(number: int) -> str:
    """Return a trade as exchanges send it: 112 bytes of JSON, whatever its number."""
    price = 67_123.45 + number % 100
    return (
        f'{{"e":"trade","s":"BTCUSDT","t":{314_159_265_358 + number},'
        f'"p":"{price:.2f}","q":"0.01200000","T":{1_700_000_000_000 + number},'
        '"m":true,"M":true}'
    )


@functools.cache
def trades(count: int) -> list[bytes]:
    """So many trades with ascending numbers, as chunks of whole frames."""
    made = [frame(1, numbered(number).encode()) for number in range(count)]
    step = CHUNK // len(made[0])
    return [b"".join(made[at : at + step]) for at in range(0, count, step)]


def payload(message: Message) -> bytes:
    return message.encode() if isinstance(message, str) else message


def deflated(data: bytes) -> bytes:
    """A compressed payload that needs nothing of those before it."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


@functools.cache
def frames(kind: str, size: int, *, compressed: bool) -> list[bytes]:
    opcode = 1 if kind == "text" else 2
    payloads = map(payload, messages(kind, size))
    if compressed:
        return [frame(opcode, deflated(data), rsv=4) for data in payloads]
    return [frame(opcode, data) for data in payloads]


def chunks(kind: str, size: int, count: int, *, compressed: bool) -> list[bytes]:
    """``count`` whole frames, a chunk at a time; most chunks are one object."""
    made = frames(kind, size, compressed=compressed)
    laps = max(1, CHUNK // sum(map(len, made)))
    full, rest = divmod(count, laps * len(made))
    last = b"".join(itertools.islice(itertools.cycle(made), rest))
    return [b"".join(made * laps)] * full + [last]


def unmask(data: bytes, key: bytes) -> bytes:
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(keys)).to_bytes(len(data))
