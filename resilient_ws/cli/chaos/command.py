"""``resilient-ws chaos``: run the proxy, take keys, play a script, tell all of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.cli.chaos.script import Step, read_fault
from resilient_ws.cli.exit_codes import DONE, FAILED
from resilient_ws.cli.keyboard import Keyboard, has_keyboard
from resilient_ws.cli.lines import LineOutput
from resilient_ws.cli.screen import Colour, Screen
from resilient_ws.cli.status_line import StatusLine
from resilient_ws.cli.stdio import complain
from resilient_ws.cli.stopping import until_stopped
from resilient_ws.testing import FaultProxy


if TYPE_CHECKING:
    from resilient_ws.testing import Fault

#: What each key does: the words of a fault.
KEYS: Final = {
    "b": "blackhole",
    "f": "freeze",
    "l": "delay 0.5",
    "t": "throttle 1000",
    "r": "reset",
    "d": "drop",
    "c": "refuse",
    "j": "reject 503",
    "h": "heal",
}
_QUIT: Final = "q"
_HELP: Final = (
    "keys: [b]lack hole  [f]reeze  [l]atency  [t]hrottle  [r]eset  [d]rop  "
    "[c]lose port  re[j]ect  [h]eal  [q]uit"
)
#: Columns of the time before each line.
_INDENT: Final = 12
#: Seconds between two looks at the connections.
_LOOK: Final = 0.1
_KIBI: Final = 1024


@attrs.frozen(kw_only=True)
class ChaosOptions:
    """What the command line says.

    Attributes:
        listen: Where to listen.
        upstream: Where the server is.
        script: What to do by itself.
    """

    listen: tuple[str, int]
    upstream: tuple[str, int]
    script: Sequence[Step] = ()


class Chaos:
    """The proxy, and what is said about it.

    Args:
        proxy: The proxy, running.
        options: What the command line says.
    """

    def __init__(self, proxy: FaultProxy, options: ChaosOptions) -> None:
        self._proxy = proxy
        self._options = options
        self._output = LineOutput(sys.stdout.fileno(), "stdout")
        self._screen = Screen(sys.stdout)
        self.status = (
            StatusLine(self._text, self._output, self._screen)
            if self._screen.is_terminal
            else None
        )
        self._active: list[str] = []
        self._said = ""
        self._began = time.monotonic()
        self._dot = " · " if self._screen.can_show("·") else " | "

    async def say(self, text: str) -> None:
        """Print a line, with the seconds since the beginning."""
        self._said = text
        line = f"{time.monotonic() - self._began:8.1f} s  {text}"
        if self.status is None:
            await self._output.write(line)
        else:
            await self.status.print(self._screen.wrapped(line, rest=" " * _INDENT))

    async def do(self, text: str, fault: Fault | None) -> None:
        """Impose a fault, or heal, and say so."""
        await self.say(text)
        if fault is None:
            self._proxy.heal()
            self._active.clear()
            return
        self._proxy.apply(fault)
        if not fault.is_momentary and text not in self._active:
            self._active.append(text)

    async def take_keys(self, keyboard: Keyboard) -> None:
        """Do what the keys say, until q."""
        async for keys in keyboard.keys():
            for key in keys.lower():
                if key == _QUIT:
                    return
                if key in KEYS:
                    await self.do(KEYS[key], read_fault(KEYS[key]))
                elif key.isprintable() and self._said != _HELP:
                    # Once, whatever is pasted.
                    await self.say(_HELP)

    async def play(self) -> None:
        """Play the script, and go on afterwards."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            for step in self._options.script:
                await asyncio.sleep(began + step.at - loop.time())
                if not step.repeats:
                    await self.do(step.text, step.fault)
            if not self._options.script or not self._options.script[-1].repeats:
                break
            began += self._options.script[-1].at
            await self.say("the script begins again")
        if self._options.script:
            await self.say("the script has ended; the proxy goes on")
        await loop.create_future()

    async def watch(self) -> None:
        """Say when a connection comes and goes."""
        known: dict[int, float] = {}
        while True:
            for connection in list(self._proxy.connections):
                number = connection.number
                if number not in known and connection.is_open:
                    known[number] = connection.opened_at
                    await self.say(f"connection {number} came")
                elif number in known and not connection.is_open:
                    del known[number]
                    up, down = connection.up.passed, connection.down.passed
                    passed = f"{size(up)} up, {size(down)} down"
                    await self.say(f"connection {number} ended ({passed})")
            await asyncio.sleep(_LOOK)

    def _text(self, width: int) -> str:
        still = [one for one in self._proxy.connections if one.is_open]
        what = ", ".join(self._active) or "no fault"
        up = sum(one.up.passed for one in still)
        down = sum(one.down.passed for one in still)
        noun = "connection" if len(still) == 1 else "connections"
        parts = [what, f"{len(still)} {noun}", f"{size(up)} up, {size(down)} down"]
        if has_keyboard():
            parts.append("? for keys")
        while len(parts) > 1 and len(self._dot.join(parts)) > width:
            parts.pop()
        colour = Colour.BAD if self._active else Colour.GOOD
        rest = "".join(f"{self._dot}{part}" for part in parts[1:])
        return self._screen.coloured(parts[0][:width], colour) + rest


async def chaos(options: ChaosOptions) -> int:
    """Run the proxy until the end, and return the exit code."""
    proxy = FaultProxy(*options.upstream, listen=options.listen)
    try:
        async with proxy:
            await _run(proxy, options)
    except OSError as failure:
        why = failure.strerror or type(failure).__name__
        host, port = options.listen
        complain(f"{host}:{port} or {options.upstream[0]} cannot be used: {why}")
        return FAILED
    return DONE


async def _run(proxy: FaultProxy, options: ChaosOptions) -> None:
    shown = Chaos(proxy, options)
    host, port = options.upstream
    await shown.say(f"listening at {proxy.url()}, for {host}:{port}")
    works = [shown.play(), shown.watch()]
    if shown.status is not None:
        works.append(shown.status.run())
    async with contextlib.AsyncExitStack() as stack:
        if has_keyboard():
            await shown.say(_HELP)
            loop = asyncio.get_running_loop()
            keyboard = await stack.enter_async_context(Keyboard(loop))
            works.append(shown.take_keys(keyboard))
        await until_stopped(*works)


def size(count: int) -> str:
    """Return a number of bytes for people."""
    if count < _KIBI:
        return f"{count} B"
    if count < _KIBI**2:
        return f"{count / _KIBI:.1f} KiB"
    return f"{count / _KIBI**2:.1f} MiB"
