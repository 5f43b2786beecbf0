"""The hostile server, in a process of its own: what it does stands in the path.

    python -m tests.hostile.server

``/answers/SEED/NUMBER`` plays an answer to the handshake, ``/streams/SEED/NUMBER`` a
stream behind a right one, ``/named/NUMBER`` one of the table. It says its URL in a line,
and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.hostile.answers import ENDLESS, KEY, MOST, Answer, answer_of, pieces_of
from tests.hostile.random_streams import stream_of
from tests.hostile.streams import STREAMS
from tests.wire.raw import Peer, RawServer


if TYPE_CHECKING:
    from collections.abc import Iterable

#: The names of the table, in the order of their numbers.
NAMES: Final = tuple(STREAMS)
#: Seconds after which a server that holds a connection ends it.
HELD: Final = 0.1


def play(peer: Peer) -> None:
    """Do what the path of the request says."""
    _, kind, *numbers = peer.read_request().target.split("?")[0].split("/")
    if not all(number.isdecimal() for number in numbers):
        # Where an answer of ours led, by a relative Location.
        peer.answer("404 Not Found")
    elif kind == "answers":
        seed, number = map(int, numbers)
        play_answer(peer, answer_of(seed, number), random.Random(number))
    elif kind == "streams":
        seed, number = map(int, numbers)
        stream = stream_of(seed, number)
        play_stream(peer, stream.pieces, stream.ends, deflate=stream.deflate)
    elif kind == "named":
        name = NAMES[int(numbers[0])]
        play_stream(peer, STREAMS[name](), "close", deflate=True)
    else:
        peer.answer("404 Not Found")


def play_answer(peer: Peer, answer: Answer, rng: random.Random) -> None:
    """Answer the handshake."""
    key = peer.accept_key.encode()
    for piece in pieces_of(answer.head.replace(KEY, key), rng):
        peer.sock.sendall(piece)
    deadline, rest = time.monotonic() + ENDLESS, MOST
    more = answer.more.replace(KEY, key)
    while more and rest > 0 and time.monotonic() < deadline:
        peer.sock.sendall(more)
        rest -= len(more)
        if answer.pause:
            time.sleep(answer.pause)
    end(peer, answer.ends)


def play_stream(
    peer: Peer, pieces: Iterable[bytes], ends: str, *, deflate: bool
) -> None:
    """Agree, and send the stream."""
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", peer.accept_key),
    ]
    if deflate:
        headers.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
    peer.respond(headers)
    for piece in pieces:
        peer.sock.sendall(piece)
    end(peer, ends)


def end(peer: Peer, how: str) -> None:
    """End the connection: at once, or when the client does."""
    if how == "reset":
        peer.reset()
    elif how == "hold":
        peer.sock.settimeout(HELD)
        peer.drain()
    else:
        # An RST in place of the FIN would take what was sent along.
        peer.finish(HELD)


async def main() -> None:
    """Serve until stdin ends."""
    async with RawServer(play) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
