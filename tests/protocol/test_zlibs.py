"""Whatever compresses, the other side reads it, and messages come out no larger."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from resilient_ws.protocol import zlibs
from resilient_ws.protocol.deflate import Deflater
from resilient_ws.protocol.inflate import TAIL, Inflater
from tests import unmeasured
from tests.protocol.compressed import needs_zlib_ng


if TYPE_CHECKING:
    from resilient_ws.protocol.zlibs import Zlib


def trades(count: int) -> bytes:
    chance = random.Random(count)
    return json.dumps(
        [{"p": chance.uniform(4e4, 5e4), "q": chance.random()} for _ in range(count)]
    ).encode()


MESSAGES = [trades(1), b"", trades(8), random.Random(1).randbytes(9000), trades(400)]


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_pythons_zlib_reads_what_is_sent_with_a_window_of_any_size(
    bits: int, takeover: bool, each_zlib: Zlib
) -> None:
    deflater = Deflater(bits=bits, limit=bits, takeover=takeover)
    peer = zlib.decompressobj(wbits=-bits)
    for message in MESSAGES * 3:
        assert peer.decompress(deflater.deflate(message) + TAIL) == message
        if not takeover:
            peer = zlib.decompressobj(wbits=-bits)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_what_pythons_zlib_sends_is_read(
    bits: int, level: int, each_zlib: Zlib
) -> None:
    peer = zlib.compressobj(level, wbits=-bits)
    inflater = Inflater(bits=bits, takeover=True)
    for message in MESSAGES * 3:
        payload = peer.compress(message) + peer.flush(zlib.Z_SYNC_FLUSH)
        made = inflater.inflate_message(memoryview(payload.removesuffix(TAIL)))
        assert made == (message, None)


@needs_zlib_ng
@pytest.mark.parametrize("bits", [12, 15])
def test_a_faster_one_makes_no_message_larger(bits: int) -> None:
    assert zlibs.NEXT_GENERATION is not None
    for message in (trades(8), trades(400)):
        sizes = []
        for one in (zlibs.NEXT_GENERATION, zlibs.PYTHONS):
            stream = one.compressobj(one.level, wbits=-bits, memLevel=5)
            sizes.append(len(stream.compress(message) + stream.flush()))
        assert sizes[0] <= sizes[1]


def chosen(statement: str, **environment: str) -> str:
    code = (
        f"{statement}\nfrom resilient_ws.protocol import zlibs; print(zlibs.ZLIB.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=unmeasured.environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()[0]


@needs_zlib_ng
def test_zlib_ng_is_used_unless_it_is_missing_old_or_unwanted() -> None:
    assert chosen("", RESILIENT_WS_ZLIB_NG="") == "zlib-ng"
    assert chosen("", RESILIENT_WS_ZLIB_NG="0") == "zlib"
    for statement in (
        "import zlib_ng; zlib_ng.__version__ = '0.4.3'",
        "import sys; sys.modules['zlib_ng'] = None",
    ):
        assert chosen(statement, RESILIENT_WS_ZLIB_NG="") == "zlib"
