"""``python -m benchmarks.reliability.dials PORT``: says when TCP connections are tried.

A ``dial`` is a SYN that reaches the namespace it runs in, also where nobody listens,
with the kernel's time stamp of its arrival, whatever else this machine does. One that
is sent again is the same dial.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
import time
from typing import Final


_ETH_P_IP: Final = 0x0800
#: In ``asm-generic/socket.h``; the option and the ancillary data have one number.
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("@ll")
_SYN, _ACK = 0x02, 0x10
_BUFFER: Final = 8 * 1024 * 1024


def _dialled(packet: bytes, port: int) -> tuple[int, int] | None:
    """What tells a dial to this port from others; ``None`` for any other packet."""
    tcp = (packet[0] & 0x0F) * 4
    if packet[9] != socket.IPPROTO_TCP or len(packet) < tcp + 14:
        return None
    source, target, sequence = struct.unpack_from("!HHI", packet, tcp)
    flags = packet[tcp + 13]
    is_dial = target == port and flags & (_SYN | _ACK) == _SYN
    return (source, sequence) if is_dial else None


def _say(event: str, at: float) -> None:
    print(json.dumps({"event": event, "at": at}), flush=True)


def _end_with_standard_input() -> None:
    sys.stdin.read()
    # Whoever started us is gone.
    os._exit(0)


def main(port: int) -> None:
    """Tell of every dial, until the end of the standard input."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    seen: set[tuple[int, int]] = set()
    with socket.socket(
        socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)
    ) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        _say("ready", time.monotonic())
        while True:
            packet, ancillary, _, _ = wire.recvmsg(128, 64)
            dial = _dialled(packet, port)
            if dial is not None and dial not in seen:
                seen.add(dial)
                seconds, nanoseconds = _STAMP.unpack(ancillary[0][2])
                # The stamp is of the wall clock.
                ago = time.time() - seconds - nanoseconds / 1e9
                _say("dial", time.monotonic() - ago)


if __name__ == "__main__":
    main(int(sys.argv[1]))
