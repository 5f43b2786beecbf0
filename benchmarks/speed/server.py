"""The server of the wire scenarios: a process of its own, a thread for each client.

Its path says what it does, after the client's first message:

    /blast/KIND/SIZE/COUNT   sends so many messages as fast as the socket takes them
    /segment/KIND/SIZE/COUNT the same in one write
    /follow/COUNT            sends so many trades in JSON, numbered without a hole
    /drip/PIECE/PIECES       sends one message in so many writes, one each 100 µs
    /feed/SIZE/RATE/COUNT    sends messages that begin with the time, so many a second
    /sink/KIND/SIZE/COUNT    takes messages, says "got", compares them, says "ok"
    /echo                    sends back what comes

It compresses where the client asks for it and the path ends in ``/deflate``.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import select
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import trustme

from benchmarks.speed.frames import (
    TAIL,
    accept,
    chunks,
    messages,
    payload,
    trades,
    unmask,
)
from resilient_ws.testing.frames import frame


if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two pieces of a message that drips.
DRIP = 0.0001
GOODBYE = bytes.fromhex("880203e8")


class Peer:
    """One client, after its handshake."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.closing = False
        self._buffer = bytearray()
        self.words = self._shake_hands()

    def _shake_hands(self) -> list[str]:
        """Answer the upgrade; return the words of the path."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self.connection.recv(4096) or b"\r\n\r\n"
        lines = request.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        fields = {name.lower(): value for name, value in fields.items()}
        words = lines[0].split()[1].strip("/").split("/")
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept(fields['sec-websocket-key'])}\r\n"
        )
        if words[-1] == "deflate":
            assert "permessage-deflate" in fields["sec-websocket-extensions"]
            answer += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        self.connection.sendall(f"{answer}\r\n".encode())
        return words

    def frame(self) -> tuple[int, bytes, bytes]:
        """The next frame: its first byte, its key and its masked payload."""
        buffer, start = self._buffer, 6
        self._fill(2)
        size = buffer[1] & 127
        if size == 126:
            self._fill(4)
            size, start = int.from_bytes(buffer[2:4]), 8
        elif size == 127:
            self._fill(10)
            size, start = int.from_bytes(buffer[2:10]), 14
        self._fill(start + size)
        first, key = buffer[0], bytes(buffer[start - 4 : start])
        data = bytes(buffer[start : start + size])
        del buffer[: start + size]
        self.closing = first & 15 == 8
        return first, key, data

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self.connection.recv(1 << 18)
            if not data:
                raise ConnectionError
            self._buffer += data

    def answer_pings(self) -> None:
        """Answer what has come: some clients hang up where a ping is not."""
        while select.select([self.connection], [], [], 0)[0]:
            first, key, masked = self.frame()
            assert first & 15 == 9, "nothing but pings is expected"
            self.connection.sendall(frame(10, unmask(masked, key)))

    def say(self, text: str) -> None:
        self.connection.sendall(frame(1, text.encode()))


def blast(peer: Peer, kind: str, size: str, count: str, *deflate: str) -> None:
    made = chunks(kind, int(size), int(count), compressed=bool(deflate))
    peer.frame()
    for chunk in made:
        peer.connection.sendall(chunk)


def segment(peer: Peer, kind: str, size: str, count: str) -> None:
    made = b"".join(chunks(kind, int(size), int(count), compressed=False))
    peer.frame()
    peer.connection.sendall(made)


def follow(peer: Peer, count: str) -> None:
    made = trades(int(count))
    peer.frame()
    for chunk in made:
        peer.connection.sendall(chunk)


def drip(peer: Peer, piece: str, pieces: str) -> None:
    [data] = set(messages("binary", int(piece) * int(pieces))[:1])
    whole = frame(2, payload(data))
    step = -(-len(whole) // int(pieces))
    peer.frame()
    due = time.perf_counter()
    for start in range(0, len(whole), step):
        while time.perf_counter() < due:
            pass
        peer.connection.sendall(whole[start : start + step])
        due += DRIP


def feed(peer: Peer, size: str, rate: str, count: str) -> None:
    step, padding = 1 / int(rate), bytes(int(size) - 8)
    peer.frame()
    began = time.perf_counter()
    for number in range(int(count)):
        wait = began + number * step - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        stamp = struct.pack("!Q", time.monotonic_ns())
        peer.connection.sendall(frame(2, stamp + padding))
        if number % int(rate) == 0:
            peer.answer_pings()


def sink(peer: Peer, kind: str, size: str, count: str, *_: str) -> None:
    taken = [peer.frame() for _ in range(int(count))]
    peer.say("got")
    stream = zlib.decompressobj(wbits=-15)
    expected = itertools.cycle(messages(kind, int(size)))
    first_byte = 0x81 if kind == "text" else 0x82
    for first, key, masked in taken:
        data = unmask(masked, key)
        if first & 0x40:
            data = stream.decompress(data + TAIL)
        if first & ~0x40 != first_byte or data != payload(next(expected)):
            peer.say("a message arrived changed")
            return
    peer.say("ok")


def echo(peer: Peer) -> None:
    while True:
        first, key, masked = peer.frame()
        if peer.closing:
            return
        peer.connection.sendall(frame(first & 15, unmask(masked, key)))


JOBS: dict[str, Callable[..., None]] = {
    job.__name__: job for job in (blast, segment, drip, feed, follow, sink, echo)
}


def serve(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        stack.enter_context(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
        peer = Peer(connection)
        JOBS[peer.words[0]](peer, *peer.words[1:])
        # The client has all of it when it says goodbye.
        while not peer.closing:
            peer.frame()
        connection.sendall(GOODBYE)


def listen(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context), daemon=True).start()


def main() -> None:
    """Serve until the standard input ends with its owner."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ports: list[Any] = []
    with contextlib.ExitStack() as stack:
        for one in (None, context):
            listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            stack.enter_context(listener)
            ports.append(listener.getsockname()[1])
            threading.Thread(target=listen, args=(listener, one), daemon=True).start()
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority.cert_pem.write_to_path(folder / "ca.pem")
        print(*ports, folder / "ca.pem", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
