"""How many bytecodes 10,000 messages take: a slowdown seen without a clock.

    make instructions [ARGS="received sent echoed --write"]

It drives a whole session, but hands its wire chunks of a fixed size and swallows what
it writes, so that the count is the same on every machine and under every load; each
minor version of Python has its own. It counts what runs in the package itself, and ends
with 1 where that is more than the budget of ``budgets.json`` and 2 %.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import resilient_ws
from benchmarks.speed.frames import chunks, frames, messages
from resilient_ws.testing import ScriptedServer, VirtualLoop
from resilient_ws.testing.scripts import hold


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

COUNT: Final = 10_000
SIZE: Final = 64
#: Messages that come at once: less than the inbox holds, so that reading never pauses.
CHUNK: Final = 400
SCENARIOS: Final = ["received", "sent", "echoed"]
TOLERANCE: Final = 0.02
BUDGETS: Final = pathlib.Path(__file__).with_name("budgets.json")
VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
ADVICE: Final = """\
Every message costs more than it did. If it should not, see what was added to the path
of a message (`python -m benchmarks.speed --only receive` measures it in time). If it is
worth it, write the new budget and say in the commit what it buys:
    make instructions ARGS=--write"""


class Swallow(asyncio.Transport):
    """Takes what is written, and is never full."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Bench:
    """An open session, without its socket."""

    def __init__(self, session: resilient_ws.Session) -> None:
        self.session = session
        supervisor: Any = session._supervisor
        self.wire = supervisor.wire
        self.outgoing = self.wire.outgoing
        # Made here, for the test kit makes them, and it is in the package.
        self.frames = frames("text", SIZE, compressed=False)
        self.chunks = whole_chunks()

    def hand_over(self, chunk: bytes) -> None:
        """Do what a transport does with what it has read."""
        self.wire.get_buffer(-1)[: len(chunk)] = chunk
        self.wire.buffer_updated(len(chunk))

    async def received(self) -> None:
        incoming = aiter(self.session)
        expected = messages("text", SIZE)
        taken = 0
        for chunk in self.chunks:
            self.hand_over(chunk)
            while taken < self.wire.incoming.messages_received:
                assert await anext(incoming) == expected[taken % CHUNK % len(expected)]
                taken += 1
        assert taken == COUNT

    async def sent(self) -> None:
        stream = messages("text", SIZE)
        for number in range(COUNT):
            await self.session.send(stream[number % len(stream)])
            if number % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def echoed(self) -> None:
        for number in range(COUNT):
            self.hand_over(self.frames[number % len(self.frames)])
            await self.session.send(await self.session.receive())
            await asyncio.sleep(0)


def whole_chunks() -> list[bytes]:
    [chunk] = filter(None, chunks("text", SIZE, CHUNK, compressed=False))
    return [chunk] * (COUNT // CHUNK)


class Counter:
    """Counts the bytecodes that run in the files of the package."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("resilient_ws")
        assert spec is not None
        assert spec.origin is not None
        self._home = str(pathlib.Path(spec.origin).parent)
        self.count = 0

    def __enter__(self) -> None:
        sys.settrace(self._entered)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401
        if event != "call" or not frame.f_code.co_filename.startswith(self._home):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._ran

    def _ran(self, _: FrameType, event: str, __: object) -> Any:  # noqa: ANN401
        if event == "opcode":
            self.count += 1
        return self._ran


async def count(name: str) -> int:
    async with (
        ScriptedServer(hold) as server,
        resilient_ws.connect(server.url("/"), compression=None) as session,
    ):
        bench = Bench(session)
        real, swallow = bench.outgoing._transport, Swallow()
        run: Callable[[], Awaitable[None]] = getattr(bench, name)
        bench.outgoing._transport = swallow
        counter = Counter()
        with counter:
            await run()
        bench.outgoing._transport = real
        written = 0 if name == "received" else COUNT * SIZE
        assert swallow.written >= written, "not every message was written"
        # The tracing of Python 3.12.1 misses them where a trace began at a call.
        assert counter.count > COUNT, "this Python does not tell of bytecodes"
        return counter.count


def measured(names: list[str]) -> dict[str, int]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return {name: runner.run(count(name)) for name in names}


def judged(found: dict[str, int], budget: dict[str, int]) -> bool:
    """Say what each cost, and whether all of it is within the budget."""
    good = True
    for name, instructions in found.items():
        change = instructions / budget[name] - 1
        verdict = "ok"
        if change > TOLERANCE:
            good, verdict = False, "TOO MANY"
        elif change < -TOLERANCE:
            verdict = "fewer: write the new budget, so that it stays"
        print(
            f"{name:<10}{instructions / COUNT:>8.1f} bytecodes a message, "
            f"{change:+.1%} of {budget[name] / COUNT:.1f}: {verdict}"
        )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.speed.instructions")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a scenario")
    parser.add_argument("--write", action="store_true", help="make it the budget")
    options = parser.parse_args()
    if resilient_ws.__compiled__:
        sys.exit("C has no bytecodes: run it with RESILIENT_WS_PURE=1")
    budgets: dict[str, dict[str, int]] = cast("Any", json.loads(BUDGETS.read_text()))
    found = measured(options.names or SCENARIOS)
    if options.write:
        budgets.setdefault(VERSION, {}).update(found)
        BUDGETS.write_text(json.dumps(dict(sorted(budgets.items())), indent=2) + "\n")
    if VERSION not in budgets:
        sys.exit(f"budgets.json has none for Python {VERSION}: run it with --write")
    if not judged(found, budgets[VERSION]):
        sys.exit(ADVICE)


if __name__ == "__main__":
    main()
