from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from resilient_ws.feeds import json as feeds_json


if TYPE_CHECKING:
    import pathlib


HUGE = 123456789012345678901234567890123
WITHOUT_MSGSPEC = "import sys; sys.modules['msgspec'] = None\n"


def printed_by(program: str, *arguments: str) -> str:
    """Run a program in a Python of its own; return what it printed."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numbers_of_any_length_are_exact() -> None:
    text = f'{{"a": {HUGE}, "b": [-{HUGE}, {2**64}, {-(2**63) - 1}]}}'
    expected = {"a": HUGE, "b": [-HUGE, 2**64, -(2**63) - 1]}
    assert feeds_json.loads(text) == expected
    assert feeds_json.loads(feeds_json.dumps(expected)) == expected


def test_what_is_written_is_text_without_blanks() -> None:
    assert feeds_json.dumps({"a": [1, None]}) == '{"a":[1,null]}'


def test_without_msgspec_the_standard_library_does_it() -> None:
    program = (
        f"{WITHOUT_MSGSPEC}"
        "from resilient_ws.feeds import json as j\n"
        "import json\n"
        "decode = j._loads_and_dumps[0]\n"
        "assert decode is json.loads\n"
        f"assert j.loads('{HUGE}') == {HUGE}\n"
        "print(j.dumps(['\\ud800', 'é']))"
    )
    printed = printed_by(program)
    # Half of a surrogate pair can be sent only escaped.
    assert json.loads(printed) == ["\ud800", "é"]
    assert printed.isascii()


@pytest.mark.parametrize("encoder", ["msgspec", "json"])
def test_what_json_cannot_express_is_written_alike_by_both_encoders(
    encoder: str,
) -> None:
    program = (
        f"{WITHOUT_MSGSPEC if encoder == 'json' else ''}"
        "from resilient_ws.feeds.json import dumps\n"
        "n = float('nan')\n"
        "print(dumps({'a': [n, -1e999, (n, 1.5)], 'b': {'c': n}, 'd': 2, 'e': None}))\n"
        "print(dumps([b'\\xff\\x00x', bytearray(b''), memoryview(b'yz'), n]))\n"
        "for odd in (object(), [n, 1j]):\n"
        "    try: dumps(odd)\n"
        "    except TypeError: print('refused')\n"
    )
    assert printed_by(program).splitlines() == [
        '{"a":[null,null,[null,1.5]],"b":{"c":null},"d":2,"e":null}',
        '["/wB4","","eXo=",null]',
        "refused",
        "refused",
    ]


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_a_deep_message_raises_and_breaks_nothing(text: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the decoder raises
        feeds_json.loads(text + "1")
    assert feeds_json.loads("[1]") == [1]


@pytest.mark.parametrize("decoder", ["msgspec", "json"])
def test_a_raised_recursion_limit_does_not_let_a_message_crash_us(decoder: str) -> None:
    program = (
        f"{WITHOUT_MSGSPEC if decoder == 'json' else 'import sys'}\n"
        "from resilient_ws.feeds import json as j\n"
        "sys.setrecursionlimit(100_000)\n"  # as importing web3 does
        "for text in ('[' * 100_000, '{\"a\":' * 100_000):\n"
        "    try: j.loads(text)\n"
        "    except Exception as failure: print(type(failure).__name__)\n"
        "assert j.loads('[1]') == [1]\n"
        "print(sys.getrecursionlimit())"
    )
    assert printed_by(program).split() == ["RecursionError", "RecursionError", "100000"]


@pytest.mark.parametrize(
    "decode",
    [
        "Client(connect('ws://127.0.0.1:9000'), loads=json.loads)._wire.route",
        "JSON.decode",
        "of(list).decode",
        "Codec(json.dumps, json.loads).decode",
    ],
)
def test_nor_does_it_where_the_decoder_is_the_users(decode: str) -> None:
    program = (
        "import json, sys\n"
        "from resilient_ws import connect\n"
        "from resilient_ws.codec import JSON, Codec, of\n"
        "from resilient_ws.feeds.jsonrpc import Client\n"
        "sys.setrecursionlimit(100_000)\n"
        f"try: ({decode})('[' * 100_000)\n"
        "except Exception as failure: print(type(failure).__name__)\n"
    )
    assert printed_by(program).split() == ["RecursionError"]


@pytest.mark.parametrize(
    "read",
    [
        "CursorFile(sys.argv[1]).load()",
        "AiohttpSocket.receive_json(Socket())",
    ],
)
def test_nor_a_file_or_a_socket_that_is_read_elsewhere(
    read: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "cursor"
    file.write_text("[" * 100_000)
    program = (
        "import asyncio, sys\n"
        "from resilient_ws.adapters.aiohttp_socket import AiohttpSocket\n"
        "from resilient_ws.feeds import CursorFile\n"
        "class Socket:\n"
        "    async def receive_str(self, *, timeout=None): return '[' * 100_000\n"
        "sys.setrecursionlimit(100_000)\n"
        f"try: asyncio.run({read})\n"
        "except Exception as failure: print(failure.__cause__ or failure)\n"
    )
    assert "maximum recursion depth" in printed_by(program, str(file))
