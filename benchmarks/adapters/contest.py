"""One library's place in the campaign, and one play of it.

``benchmarks/adapters/NAME.py`` holds ``CONTEST`` and, under ``__main__``, three roles:

    python -m benchmarks.adapters.NAME server PORT
    python -m benchmarks.adapters.NAME alone URL
    python -m benchmarks.adapters.NAME ours URL

The server says ``sent`` for each numbered message it makes, whoever listens, and
``got`` for each number that a client sends. The program says ``got`` and, once its
library has taken a number without complaint, ``sent``. ``alone`` and ``ours`` differ in
the line that makes the client. Keepalives are short, so that a play takes seconds.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.adapters.program import Program
from resilient_ws.testing import FaultProxy
from tests.servers.process import HOST, ServerProcess


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.adapters.faults import Trouble

Way: TypeAlias = Literal["alone", "ours"]
WAYS: Final[tuple[Way, ...]] = ("alone", "ours")

#: Seconds until a program hears its first message; before and after the trouble.
_FIRST: Final = 120.0
_STEADY: Final = 2.0
_AFTER: Final = 3.0
#: Seconds after the trouble's end in which a client must hear again.
_PATIENCE: Final = 40.0
#: What the server made in the last second may still be on its way.
_ON_ITS_WAY: Final = 1.0


@dataclass(frozen=True)
class Contest:
    """One library: what it is called, its packages, and its server.

    Attributes:
        name: Its module in this folder.
        title: What the page calls it.
        packages: Whose versions the page tells.
        program: What the program is, in a sentence for the page.
        server: The server's command with ``{port}``, if it is not the module's own.
        scheme: Of the URL that the program gets; ``path`` follows the port.
        made: The numbers that there were to be had, asked of the server at the end;
            by default those it said it sent.
    """

    name: str
    title: str
    packages: Sequence[str]
    program: str
    server: Sequence[str] = ()
    scheme: str = "ws"
    path: str = ""
    made: Callable[[int], Awaitable[Sequence[int]]] | None = None

    def role(self, role: str, *words: str) -> list[str]:
        """The command of one role, without the interpreter."""
        return ["-m", f"benchmarks.adapters.{self.name}", role, *words]

    def versions(self) -> str:
        """Its packages with their versions."""
        return ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in self.packages
        )


@dataclass
class Outcome:
    """What one play showed.

    Attributes:
        missing: Numbers made and never got, in the whole play.
        made: All that were made between the first got and the end.
        repeated: Numbers got more than once.
        back: Seconds from the end of the trouble to the next message.
        dials: Connections made from the trouble's beginning on.
        cpu: Share of a core used during the trouble.
        unheard: Numbers that the program had sent, and the server never got.
        sent: All that it had sent.
        last_words: What a program said that ended by itself.
    """

    made: int = 0
    missing: int = 0
    repeated: int = 0
    back: float | None = None
    dials: int = 0
    cpu: float | None = None
    sent: int = 0
    unheard: int = 0
    ended: bool = False
    last_words: list[str] = field(default_factory=list)


async def play(contest: Contest, way: Way, trouble: Trouble) -> Outcome:
    """Run server, proxy and program, and the trouble in the middle."""
    command = [*contest.server] or [sys.executable, *contest.role("server", "{port}")]
    async with (
        ServerProcess(command) as server,
        FaultProxy(HOST, server.port) as proxy,
        Program(
            *contest.role(way, proxy.url(contest.path, scheme=contest.scheme))
        ) as program,
    ):
        if await program.got(since=0.0, within=_FIRST) is None:
            raise RuntimeError(f"{contest.name} {way} heard nothing: {program.words}")
        await asyncio.sleep(_STEADY)
        outcome = Outcome()
        dialled, used, since = proxy.accepted, program.cpu(), time.monotonic()
        async with trouble.fault(server, proxy):
            await asyncio.sleep(trouble.seconds)
            if trouble.seconds and not program.ended:
                outcome.cpu = (program.cpu() - used) / (time.monotonic() - since)
        mended = time.monotonic()
        heard = await program.got(since=mended, within=_PATIENCE)
        outcome.back = None if heard is None else heard - mended
        await asyncio.sleep(_AFTER)
        outcome.dials = proxy.accepted - dialled
        made = None if contest.made is None else await contest.made(server.port)
        _count(outcome, server, program, made)
    return outcome


def _count(
    outcome: Outcome,
    server: ServerProcess,
    program: Program,
    made: Sequence[int] | None,
) -> None:
    got = program.numbers("got")
    until = time.monotonic() - _ON_ITS_WAY
    if made is None:
        said = server.entries("sent")
        made = [line["number"] for line in said if line["at"] < until]
    had = {number for number in made if number >= got[0]}
    outcome.made, outcome.missing = len(had), len(had - set(got))
    outcome.repeated = len(got) - len(set(got))
    sent = {
        line["number"]
        for line in program.lines
        if line["event"] == "sent" and line["at"] < until
    }
    outcome.sent = len(sent)
    outcome.unheard = len(sent - {line["number"] for line in server.entries("got")})
    outcome.ended = program.ended
    outcome.last_words = program.words[-3:]
