"""What the extra ``zlib-ng`` brings and takes, beside Python's own zlib.

The command: ``python -m benchmarks.compression [--write docs/compression.md]``. Each
runs in a process of its own, in turns: our deflater compresses messages as a session
does, and our inflater inflates what a server compressed with zlib. What counts is the
CPU time a message, and the memory of a connection's two streams.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.speed.frames import messages
from benchmarks.speed.tables import table
from benchmarks.speed.targets import KIB, MIB
from benchmarks.speed.verdicts import sized
from resilient_ws.protocol.deflate import MIN_SIZE, DeflateParameters, Deflater, Offer
from resilient_ws.protocol.inflate import Inflater
from resilient_ws.protocol.zlibs import NEXT_GENERATION, PYTHONS, ZLIB


if TYPE_CHECKING:
    from collections.abc import Iterable

SIZES: Final = (MIN_SIZE, KIB, 4 * KIB, 16 * KIB, MIB)
ROUNDS: Final = 7
#: How many bytes of messages each figure takes.
_BYTES: Final = 4 * MIB
#: How many connections share what is measured of the memory.
_CONNECTIONS: Final = 200
WAYS: Final = ("received", "sent")
METHOD: Final = f"""\
The same JSON for both, with the parameters of a session that asks for nothing else:
CPU time a message, the median of {ROUNDS} alternating runs of at least
{_BYTES // MIB} MiB, and the least and the most. Received is what zlib compressed at its
default level. Behind the time of zlib-ng stands how many times as long zlib takes.
Nothing but the two streams is measured: no socket, no frame, no loop.
"""
_VARIABLE: Final = "RESILIENT_WS_ZLIB_NG"
_NAMES: Final = {"0": "zlib", "": "zlib-ng"}
#: What a session uses with a server that answers an offer with no parameters.
_AGREED: Final[DeflateParameters] = Offer().accept({})


def deflater() -> Deflater:
    return Deflater(
        bits=_AGREED.own_bits, limit=_AGREED.own_limit, takeover=_AGREED.own_takeover
    )


def inflater() -> Inflater:
    return Inflater(bits=_AGREED.peer_bits, takeover=_AGREED.peer_takeover)


def by_server(payloads: Iterable[bytes]) -> list[memoryview]:
    """Return what a server with zlib and its default level sends."""
    stream = PYTHONS.compressobj(wbits=-15)
    return [
        memoryview((stream.compress(data) + stream.flush(2))[:-4]) for data in payloads
    ]


def whole(stream: Inflater, data: memoryview) -> int:
    """Inflate a message in one go and in pieces, as a receiver does."""
    made, rest = stream.inflate_message(data)
    size = len(made)
    while rest:
        made, taken = stream.inflate_piece(memoryview(rest), MIB)
        size, rest = size + len(made), rest[taken:]
        if not (rest or stream.has_more):
            break
    return size


def measured(size: int) -> dict[str, float]:
    """Return the microseconds of a message each way, and its size on the wire."""
    kinds = [text.encode() for text in messages("text", size) if isinstance(text, str)]
    payloads = (kinds * (1 + _BYTES // size // len(kinds)))[: max(4, _BYTES // size)]
    arriving = by_server(payloads)
    ours, theirs = deflater(), inflater()
    began = time.process_time()
    wire = sum(len(ours.deflate(data)) for data in payloads)
    between = time.process_time()
    made = sum(whole(theirs, data) for data in arriving)
    ended = time.process_time()
    if made != size * len(payloads):
        raise SystemExit(f"{made} bytes came out of {size * len(payloads)}")
    return {
        "sent": (between - began) / len(payloads) * 1e6,
        "received": (ended - between) / len(payloads) * 1e6,
        "wire": wire / len(payloads),
    }


def memory() -> float:
    """Return the KiB of a connection that has sent and received 1 KiB."""
    payloads = [
        text.encode() for text in messages("text", KIB) if isinstance(text, str)
    ]
    (arriving,) = by_server(payloads[:1])
    kept: list[tuple[Deflater, Inflater]] = []
    before = resident()
    for _ in range(_CONNECTIONS):
        ours, theirs = deflater(), inflater()
        ours.deflate(payloads[0])
        theirs.inflate_message(arriving)
        kept.append((ours, theirs))
    return (resident() - before) / len(kept) / KIB


def resident() -> int:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def worker() -> None:
    """Print what one process has measured, as JSON."""
    found: dict[str, Any] = {"name": ZLIB.name, "memory": memory()}
    found |= {str(size): measured(size) for size in SIZES}
    print(json.dumps(found))


def run() -> dict[str, list[dict[str, Any]]]:
    """Let both take turns; return what each found, round by round."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _NAMES.values()}
    for _ in range(ROUNDS):
        for value, name in _NAMES.items():
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.compression", "--worker"],
                env={**os.environ, _VARIABLE: value},
                stdout=subprocess.PIPE,
                check=True,
            )
            found[name].append(json.loads(done.stdout))
    return found


def spread(values: Iterable[float], digits: int) -> str:
    """Return the median, and between which figures they lay."""
    ordered = sorted(values)
    least, most, middle = ordered[0], ordered[-1], statistics.median(ordered)
    return f"{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    sides = found["zlib"], found["zlib-ng"]
    names = ", ".join(side[0]["name"] for side in sides)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    head = ["message", "", "zlib, µs", "zlib-ng, µs", "zlib, bytes", "zlib-ng, bytes"]
    old, new = (spread((one["memory"] for one in side), 0) for side in sides)
    return "\n".join(
        [
            "# What zlib-ng brings\n",
            "Written by `make bench-compression`. Do not edit: it is overwritten.\n",
            METHOD,
            f"{python}, {names}, {platform.system()} {platform.machine()}.\n",
            table(head, (row(size, way, *sides) for size in SIZES for way in WAYS)),
            (
                "A connection that has sent and received 1 KiB compressed takes "
                f"{old} KiB for it with zlib, and {new} KiB with zlib-ng.\n"
            ),
        ]
    )


def row(
    size: int, way: str, old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> list[str]:
    """Return the line of a size and a way: the times of both, and what was sent."""
    key = str(size)
    before, after = ([one[key][way] for one in side] for side in (old, new))
    times = statistics.median(b / a for b, a in zip(before, after, strict=True))
    wire = [f"{side[0][key]['wire']:,.0f}" for side in (old, new)]
    return [
        sized(size),
        way,
        spread(before, 2),
        f"{spread(after, 2)} **{times:.2f}x**",
        *(wire if way == "sent" else ("", "")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.compression")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    options = parser.parse_args()
    if options.worker:
        worker()
        return
    if NEXT_GENERATION is None:
        sys.exit("zlib-ng is missing: pip install 'zlib-ng>=0.5.1'")
    text = page(run())
    print(text)
    if options.write is not None:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
