"""A program in C that only reads, obeyed line by line as a worker is.

It is compiled when this starts, into a folder that goes with it. The handshake and the
goodbye are Python's, and not measured.
"""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.speed.frames import chunks


_SOURCE: Final = pathlib.Path(__file__).with_suffix(".c")
_UPGRADE: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
#: A masked frame that says goodbye.
_GOODBYE: Final = bytes.fromhex("88820000000003e8")


def compiled(folder: pathlib.Path) -> pathlib.Path:
    """Compile the program into the folder, and return its path."""
    program = folder / "floor"
    subprocess.run(["cc", "-O2", "-o", str(program), str(_SOURCE)], check=True)
    return program


def read(program: pathlib.Path, order: dict[str, Any]) -> dict[str, float]:
    """Have the program read the messages of an order; return µs for each."""
    count: int = order["count"]
    size = sum(map(len, chunks(order["kind"], order["size"], count, compressed=False)))
    url = urlsplit(order["url"])
    with socket.create_connection(("127.0.0.1", url.port or 80), timeout=90) as link:
        link.sendall(_UPGRADE.format(path=url.path).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += link.recv(4096) or b"\r\n\r\n"
        # With a timeout, the socket would not block, and the program would not wait.
        link.settimeout(None)
        done = subprocess.run(
            [str(program), str(size)],
            stdin=link.fileno(),
            stdout=subprocess.PIPE,
            timeout=90,
            check=True,
        )
        link.sendall(_GOODBYE)
    seconds: dict[str, float] = json.loads(done.stdout)
    return {what: taken / count * 1e6 for what, taken in seconds.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(pathlib.Path(folder))
        print(json.dumps({"compiled": True}), flush=True)
        for line in sys.stdin:
            print(json.dumps(read(program, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
