"""A ScriptedServer judges its clients: each rule by a raw client that breaks it."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from resilient_ws.testing import ScriptedServer, assert_no_leaks
from resilient_ws.testing.scripts import echo, hold
from tests.record import turns


REQUEST = {
    "": "GET /feed HTTP/1.1",
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}


def request(*more: str, without: str = "-", **changed: str) -> bytes:
    """A legal opening handshake, changed."""
    changed = {name.replace("_", "-"): value for name, value in changed.items()}
    fields = {**REQUEST, **changed}
    first = fields.pop("")
    fields.pop(without, None)
    lines = [first, *(f"{name}: {value}" for name, value in fields.items()), *more]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def masked(
    first: int, payload: bytes = b"", *, key: bytes = b"\x01\x02\x03\x04"
) -> bytes:
    """A client's frame with a first byte of choice."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


OTHER = b"\x05\x06\x07\x08"
CLOSE_1000 = masked(0x88, b"\x03\xe8")

REQUESTS = {
    "another method": (request(**{"": "POST / HTTP/1.1"}), "POST"),
    "an old version": (request(**{"": "GET / HTTP/1.0"}), "HTTP/1.0"),
    "no request line": (request(**{"": "hello"}), "not a request line"),
    "an absolute target": (request(**{"": "GET http://x/ HTTP/1.1"}), "not a path"),
    "a fragment": (request(**{"": "GET /a#b HTTP/1.1"}), "not a path"),
    "no host": (request(without="Host"), "Host"),
    "two hosts": (request("Host: other"), "Host twice"),
    "no upgrade": (request(without="Upgrade"), "Upgrade"),
    "another upgrade": (request(Upgrade="h2c"), "Upgrade"),
    "no connection": (request(Connection="keep-alive"), "Connection"),
    "another version of ours": (request(Sec_WebSocket_Version="8"), "Version"),
    "two versions of ours": (request("Sec-WebSocket-Version: 13"), "twice"),
    "no key": (request(without="Sec-WebSocket-Key"), "Sec-WebSocket-Key"),
    "a short key": (request(Sec_WebSocket_Key="c2hvcnQ="), "Sec-WebSocket-Key"),
    "no base64": (request(Sec_WebSocket_Key="*" * 24), "Sec-WebSocket-Key"),
    "a folded header": (request(" folded: yes"), "not a header field"),
    "no colon": (request("nonsense"), "not a header field"),
    "a body": (request("Content-Length: 3") + b"abc", "body"),
    "a subprotocol twice": (
        request("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a"),
        "subprotocol twice",
    ),
    "a head without an end": (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, "end"),
    "data before the answer": (request() + masked(0x81, b"x"), "before its handshake"),
}

FRAMES = {
    "not masked": (b"\x81\x02hi", "not masked"),
    "an unknown opcode": (masked(0x83), "opcode 3"),
    "an unknown control opcode": (masked(0x8B), "opcode 11"),
    "RSV1 without an extension": (masked(0xC1, b"hi"), "reserved bit"),
    "RSV2": (masked(0xA1, b"hi"), "reserved bit"),
    "RSV3": (masked(0x91, b"hi"), "reserved bit"),
    "continued nothing": (masked(0x80, b"hi"), "had not begun"),
    "a message inside another": (
        masked(0x01, b"a") + masked(0x81, b"b", key=OTHER),
        "inside another one",
    ),
    "bad text": (masked(0x81, b"\xff"), "not UTF-8"),
    "bad text in fragments": (
        masked(0x01, b"\xe2\x82") + masked(0x80, b"x", key=OTHER),
        "not UTF-8",
    ),
    "a ping in fragments": (masked(0x09, b"hi"), "in fragments"),
    "a long ping": (masked(0x89, bytes(126)), "126 bytes"),
    "half a close code": (masked(0x88, b"\x03"), "half a code"),
    "close 1005": (masked(0x88, b"\x03\xed"), "1005"),
    "close 1006": (masked(0x88, b"\x03\xee"), "1006"),
    "close 1015": (masked(0x88, b"\x03\xf7"), "1015"),
    "close 999": (masked(0x88, b"\x03\xe7"), "999"),
    "close 5000": (masked(0x88, b"\x13\x88"), "5000"),
    "a bad reason": (masked(0x88, b"\x03\xe8\xff"), "close reason that is not UTF-8"),
    "data after close": (CLOSE_1000 + masked(0x81, b"x", key=OTHER), "after its close"),
    "a close after close": (CLOSE_1000 * 2, "after its close"),
    "a length of 16 bits for 5": (
        b"\x81\xfe\x00\x05" + bytes(4) + b"hello",
        "length 5 in more bytes",
    ),
    "a length of 64 bits for 200": (
        b"\x81\xff" + (200).to_bytes(8) + bytes(204),
        "length 200 in more bytes",
    ),
    "a negative length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), "highest bit"),
    "one key for two": (masked(0x81, b"a") * 2, "same key"),
}


async def say(port: int, *chunks: bytes, accepted: bool = True) -> bytes:
    """Be a client: shake hands, say these, and hear until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if accepted:
        writer.write(request())
        await reader.readuntil(b"\r\n\r\n")
    for chunk in chunks:
        writer.write(chunk)
        await turns(3)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_wrong_handshake_fails_the_test(case: str) -> None:
    data, text = REQUESTS[case]

    async def misbehaves() -> None:
        async with assert_no_leaks(), ScriptedServer(echo) as server:
            await say(server.port, data, accepted=False)
            assert server.received == []

    with pytest.raises(AssertionError, match="Clients broke the protocol") as caught:
        await misbehaves()
    assert "client 1 " in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize("chunk", [1, 2**16])
@pytest.mark.parametrize("case", FRAMES)
async def test_a_wrong_frame_fails_the_test(case: str, chunk: int) -> None:
    data, text = FRAMES[case]
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]

    async def misbehaves() -> None:
        async with assert_no_leaks(), ScriptedServer(hold) as server:
            await say(server.port, *chunks)

    with pytest.raises(AssertionError, match="Clients broke the protocol") as caught:
        await misbehaves()
    assert "client 1 (/feed) " in str(caught.value)
    assert text in str(caught.value)


async def test_the_key_of_another_connection_fails_the_test() -> None:
    async def misbehaves() -> None:
        async with ScriptedServer(hold) as server:
            await say(server.port, CLOSE_1000)
            await say(server.port, request(), accepted=False)

    with pytest.raises(AssertionError, match="of another connection"):
        await misbehaves()


async def test_a_compressed_message_that_is_none_fails_the_test() -> None:
    async def misbehaves() -> None:
        async with ScriptedServer() as server:
            talking = asyncio.create_task(say(server.port, masked(0xC1, b"\xff\xff")))
            peer = await server.accept(headers=DEFLATE)
            with pytest.raises(AssertionError, match="RFC 7692"):
                await peer.receive()
            await talking

    with pytest.raises(AssertionError, match="compressed a message wrongly"):
        await misbehaves()


async def test_a_misconduct_is_told_beside_the_error_it_caused() -> None:
    async def misbehaves() -> None:
        async with ScriptedServer() as server:
            talking = asyncio.create_task(say(server.port, b"\x81\x02hi"))
            peer = await server.accept()
            await talking
            await peer.expect("hi")

    with pytest.raises(AssertionError, match="not masked") as caught:
        await misbehaves()
    assert "Clients broke the protocol" in caught.value.__notes__[0]


LEGAL = {
    "text": ([masked(0x81, "grün".encode())], ["grün"]),
    "nothing": ([masked(0x81), masked(0x82, key=OTHER)], ["", b""]),
    "every length": (
        [
            masked(0x82, bytes(size), key=size.to_bytes(4))
            for size in (125, 126, 127, 65_535, 65_536)
        ],
        [bytes(size) for size in (125, 126, 127, 65_535, 65_536)],
    ),
    "fragments with a ping between": (
        [
            masked(0x01, b"\xe2"),
            masked(0x89, b"?", key=OTHER),
            masked(0x00, b"\x82"),
            masked(0x80, b"\xac", key=OTHER),
        ],
        ["€"],
    ),
    "a pong unasked": ([masked(0x8A, b"alive"), masked(0x81, b"x", key=OTHER)], ["x"]),
}


@pytest.mark.parametrize("chunk", [1, 3, 2**20])
@pytest.mark.parametrize("case", LEGAL)
async def test_what_is_legal_is_taken(case: str, chunk: int) -> None:
    frames, messages = LEGAL[case]
    data = b"".join([*frames, masked(0x88, key=b"last")])
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        assert (await say(server.port, *chunks[:50], b"".join(chunks[50:])))[-2:] == (
            b"\x88\x00"
        )
        assert server.received == messages
        assert server.peer.close_received == (None, "")


async def test_compression_that_was_agreed_on_is_undone() -> None:
    plain = b"again and again and again"
    frames = [masked(0xC1, deflated(plain)), masked(0x81, b"plain", key=OTHER)]
    async with assert_no_leaks(), ScriptedServer() as server:
        talking = asyncio.create_task(say(server.port, *frames, CLOSE_1000))
        peer = await server.accept(headers=DEFLATE)
        assert await peer.expect(plain.decode())
        assert await peer.expect("plain")
        await talking


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
async def test_a_close_code_for_the_wire_is_taken(code: int) -> None:
    async with assert_no_leaks(), ScriptedServer(hold) as server:
        frame = masked(0x88, code.to_bytes(2) + b"bye")
        assert await say(server.port, frame) == b"\x88\x05" + code.to_bytes(2) + b"bye"
        assert server.peer.close_received == (code, "bye")
