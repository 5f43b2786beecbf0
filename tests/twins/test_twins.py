"""Both twins take and return the same, byte by byte."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from resilient_ws.protocol import pure
from resilient_ws.protocol.frames import mask
from tests import unmeasured
from tests.protocol import server_frame
from tests.twins import compare, draw
from tests.twins.compare import Chunk


if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.twins.compare import Twin

TAKE = list[object]().append


@pytest.fixture(scope="module")
def compiled() -> Twin:
    return compare.built()


@given(randomness=st.randoms(use_true_random=False))
def test_of_any_chunk_both_take_the_same(
    compiled: Twin, randomness: random.Random
) -> None:
    compare.compare_walks(compiled, draw.chunk(randomness))


@given(data=st.binary(max_size=300), limit=st.integers(0, 200))
def test_of_any_bytes_both_take_the_same(
    compiled: Twin, data: bytes, limit: int
) -> None:
    compare.compare_walks(compiled, Chunk(data, limit=limit))


@given(randomness=st.randoms(use_true_random=False))
def test_of_any_messages_both_make_the_same_frames(
    compiled: Twin, randomness: random.Random
) -> None:
    compare.compare_frames(compiled, draw.messages(randomness))


def test_every_cut_of_every_length_is_the_same(compiled: Twin) -> None:
    for size, opcode in itertools.product((0, 1, 125, 126, 127), (1, 2)):
        data = server_frame(opcode, b"a" * size) * 2
        for end, stale in itertools.product(range(len(data) + 1), (b"", b"\x81\x01")):
            compare.compare_walks(compiled, Chunk(data[:end], stale=stale))


def test_every_first_and_second_byte_is_the_same(compiled: Twin) -> None:
    taken = 0
    for first, second in itertools.product(range(256), range(256)):
        data = bytes((first, second)) + b"\x00\x7f" + b"a" * 300
        taken += len(compare.compare_walks(compiled, Chunk(data)).messages)
    # 126 short lengths and one of 16 bits, for each of text and binary.
    assert taken == 2 * 127


def test_messages_go_to_whatever_takes_them(compiled: Twin) -> None:
    data = memoryview(server_frame(1, "grün".encode()) + server_frame(2, b"\xff"))
    found: list[str | bytes] = []
    queue: deque[str | bytes] = deque()
    names: set[str | bytes] = set()

    class Kept(list[Any]):
        """A list whose append is its own."""

        def append(self, item: object) -> None:
            super().append([item])

    kept, plain = Kept(), Kept()
    takes: list[Callable[[str | bytes], object]] = [
        *(found.append, queue.append, names.add, kept.append),
        super(Kept, plain).append,
    ]
    for take in takes:
        assert compiled.walk(data, 0, take, 9, 9) == (len(data), 2, 6, pure.ALL_TAKEN)
    assert found == list(queue) == plain == ["grün", b"\xff"]
    assert names == {"grün", b"\xff"}
    assert kept == [["grün"], [b"\xff"]]


def test_a_text_keeps_nothing_of_what_was_sent(compiled: Twin) -> None:
    for text in ("€" * 100, "€" * 5000, "a" * 5000, "é"):
        size = sys.getsizeof(text)
        compiled.frame(text, compare.keys(), mask)
        compiled.frames([text, text], compare.keys(), mask)
        assert sys.getsizeof(text) == size


def test_a_buffer_cannot_shrink_while_it_is_walked_over(compiled: Twin) -> None:
    buffer = bytearray(server_frame(2, b"one") + server_frame(2, b"two"))
    found: list[str | bytes] = []

    def shrink(message: str | bytes) -> None:
        with pytest.raises(BufferError):
            buffer.clear()
        found.append(message)

    with memoryview(buffer) as view:
        assert compiled.walk(view, 0, shrink, 9, 9)[1] == 2
    buffer.clear()
    assert found == [b"one", b"two"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((), TypeError, "takes 5 arguments, not 0"),
        ((b"", 0, TAKE, 1, 1, 1), TypeError, "takes 5 arguments, not 6"),
        (("text", 0, TAKE, 1, 1), TypeError, "bytes-like"),
        ((b"", "0", TAKE, 1, 1), TypeError, "integer"),
        ((b"", -1, TAKE, 1, 1), ValueError, "pos is -1: pass 0 or more"),
        ((b"", 0, TAKE, 2**64, 1), OverflowError, "int"),
        ((b"", 0, TAKE, 1, None), TypeError, "integer"),
        ((b"\x81\x00", 0, 5, 1, 1), TypeError, "not callable"),
        ((memoryview(bytes(8))[::2], 0, TAKE, 1, 1), BufferError, "contiguous"),
    ],
)
def test_a_wrong_argument_of_the_walk_is_refused(
    compiled: Any, arguments: tuple[object, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        compiled.walk(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "text"),
    [
        ("frame", (b"",), TypeError, "takes 3 arguments, not 1"),
        ("frames", (), TypeError, "takes 3 arguments, not 0"),
        ("frame", (5, bytes, mask), TypeError, "int"),
        ("frames", (5, bytes, mask), TypeError, "not iterable"),
        ("frames", ([b"", 5], bytes, mask), TypeError, "int"),
        ("frame", (b"", bytes, mask), ValueError, "must return 4 bytes"),
        ("frame", (b"", lambda: "text", mask), ValueError, "must return 4 bytes"),
        ("frames", ([b"", ""], bytes, mask), ValueError, "must return 4 bytes"),
        ("frame", (b"", None, mask), TypeError, "not callable"),
    ],
)
def test_a_wrong_argument_of_a_frame_is_refused(
    compiled: Any,
    name: str,
    arguments: tuple[object, ...],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        getattr(compiled, name)(*arguments)


def test_keys_that_run_out_end_the_frames(compiled: Twin) -> None:
    assert compiled.frame(b"", iter([b"keys"]).__next__, mask) == b"\x82\x80keys"
    with pytest.raises(StopIteration):
        compiled.frames([b"", b""], iter([b"keys"]).__next__, mask)


def test_messages_may_come_from_a_generator(compiled: Twin) -> None:
    some = (bytes([n]) for n in range(3))
    whole = compiled.frames(some, compare.keys(), mask)
    assert whole == pure.frames([b"\x00", b"\x01", b"\x02"], compare.keys(), mask)


def test_nothing_is_held_and_nothing_is_let_go_too_often(compiled: Twin) -> None:
    randomness = random.Random(1)
    chunks = [draw.chunk(randomness) for _ in range(300)]
    messages = [draw.messages(randomness) for _ in range(300)]
    text, binary = "grün" * 50, bytes(300)
    found: list[str | bytes] = []
    append, view = found.append, memoryview(server_frame(2, binary) * 3 + b"\x89")
    take = compare.keys()
    kept = (text, binary, found, append, view, take, mask)

    def work() -> None:
        for chunk, batch in zip(chunks, messages, strict=True):
            compare.walked(compiled, chunk)
            compare.framed(compiled, batch)
        compiled.frames([text, binary, text], take, mask)
        compiled.walk(view, 0, append, 9, 1 << 20)
        found.clear()

    work()
    counts, blocks = list(map(sys.getrefcount, kept)), sys.getallocatedblocks()
    for _ in range(20):
        work()
    assert list(map(sys.getrefcount, kept)) == counts
    assert sys.getallocatedblocks() - blocks < 50


def _runs(**environment: str) -> str:
    code = "import resilient_ws as r; print(r.__compiled__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=unmeasured.environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.usefixtures("compiled")
def test_the_environment_chooses() -> None:
    assert _runs(RESILIENT_WS_PURE="1") == "False"
    assert _runs(RESILIENT_WS_PURE="0") == _runs(RESILIENT_WS_PURE="") == "True"


def test_a_library_of_another_source_is_left_alone() -> None:
    code = (
        "import sys, types\n"
        "older = types.ModuleType('compiled'); older.INTERFACE = 0\n"
        "sys.modules['resilient_ws.protocol.compiled'] = older\n"
        "import resilient_ws; assert not resilient_ws.__compiled__"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env=unmeasured.environment() | {"RESILIENT_WS_PURE": "0"},
        timeout=60,
        check=True,
    )


def test_without_the_part_in_c_python_runs() -> None:
    code = (
        "import sys; sys.modules['resilient_ws.protocol.compiled'] = None\n"
        "import resilient_ws; assert not resilient_ws.__compiled__\n"
        "from resilient_ws.protocol import pure, walk; assert walk.walk is pure.walk"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env=unmeasured.environment() | {"RESILIENT_WS_PURE": "0"},
        timeout=60,
        check=True,
    )
