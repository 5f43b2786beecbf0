"""What a server may not send, and the code that answers it."""

from __future__ import annotations

from tests.protocol import close_frame, server_frame as frame


CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
OPEN_TEXT = frame(TEXT, b"a", fin=False)
VIOLATIONS = {
    "masked": (b"\x81\x81\x00\x00\x00\x00a", 1002),
    "masked, empty": (b"\x81\x80\x00\x00\x00\x00", 1002),
    "masked, long": (b"\x82\xfe\x00\x7e" + bytes(130), 1002),
    "masked ping": (b"\x89\x80\x00\x00\x00\x00", 1002),
    "RSV1": (frame(TEXT, b"a", rsv=4), 1002),
    "RSV2": (frame(BINARY, b"a", rsv=2), 1002),
    "RSV3": (frame(TEXT, b"", rsv=1), 1002),
    "RSV1 on a ping": (frame(PING, rsv=4), 1002),
    "RSV1 on a continuation": (OPEN_TEXT + frame(CONTINUATION, rsv=4), 1002),
    **{f"opcode {n}": (frame(n, b"a"), 1002) for n in [*range(3, 8), *range(11, 16)]},
    "reserved opcode in a message": (OPEN_TEXT + frame(3, b"a"), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "open continuation of nothing": (frame(CONTINUATION, b"a", fin=False), 1002),
    "continuation after the end": (
        OPEN_TEXT + frame(CONTINUATION) + frame(CONTINUATION),
        1002,
    ),
    "text inside a message": (OPEN_TEXT + frame(TEXT, b"b"), 1002),
    "binary inside a message": (OPEN_TEXT + frame(BINARY, b"b", fin=False), 1002),
    "fragmented ping": (frame(PING, b"", fin=False), 1002),
    "fragmented pong": (frame(PONG, b"a", fin=False), 1002),
    "fragmented close": (frame(CLOSE, b"", fin=False), 1002),
    "ping of 126": (frame(PING, bytes(126)), 1002),
    "close of 126": (frame(CLOSE, b"\x03\xe8" + bytes(124)), 1002),
    "16 bits for 125": (b"\x82\x7e\x00\x7d" + bytes(125), 1002),
    "16 bits for 0": (b"\x81\x7e\x00\x00", 1002),
    "64 bits for 65535": (b"\x82\x7f" + (65535).to_bytes(8, "big"), 1002),
    "16 bits for a ping": (b"\x89\x7e\x00\x01a", 1002),
    "top bit of the length": (b"\x82\x7f\x80" + bytes(7), 1002),
    "bad UTF-8": (frame(TEXT, b"\xff"), 1007),
    "overlong UTF-8": (frame(TEXT, b"\xc0\xaf"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "above U+10FFFF": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text ends in a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "fragments end in a character": (OPEN_TEXT + frame(CONTINUATION, b"\xe2"), 1007),
    "bad UTF-8 in a fragment": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False),
        1007,
    ),
    "bad UTF-8 in a fragment, before a ping": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False) * 2 + frame(PING, b"late"),
        1007,
    ),
    "bad UTF-8 in a fragment, before a wrong one": (
        OPEN_TEXT + frame(CONTINUATION, b"\xff", fin=False) + frame(3),
        1007,
    ),
    "too big in sum of many": (
        frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"ab", fin=False) * 51,
        1009,
    ),
    "bad UTF-8 in a close reason": (close_frame(1000, b"\xff"), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close {code}": (close_frame(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
    "too big, 7 bits": (frame(BINARY, bytes(101)), 1009),
    "too big, 16 bits": (frame(BINARY, bytes(126)), 1009),
    "too big, at the header": (b"\x82\x7f" + (1 << 62).to_bytes(8, "big"), 1009),
    "too big in sum": (
        frame(TEXT, b"a" * 60, fin=False) + frame(CONTINUATION, b"a" * 41),
        1009,
    ),
}
