"""A server in its own process, that can be ended, killed, frozen and started again.

The process is watched by a thread and not by the event loop: a test may block its
loop, or run it in virtual time, without the server or its log standing still. What
takes time happens in a worker thread, so that a session under test never sees its
loop held up by the fixture.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pytest

from tests import unmeasured


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ROOT = pathlib.Path(__file__).parent.parent.parent
NODE_MODULES = pathlib.Path(__file__).parent / "node" / "node_modules"
HOST = "127.0.0.1"

# Debian keeps daemons where only root's PATH looks.
_DAEMON_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_POLL = 0.005

Entry: TypeAlias = dict[str, Any]


def missing(what: str, install: str) -> None:
    """Skip the test, or in CI fail it, with the line that installs what is missing."""
    message = f"{what} is missing: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def daemon(name: str, package: str) -> str:
    """The path of an installed program, or the end of the test that needs it."""
    found = shutil.which(name, path=_DAEMON_PATH)
    if found is None:
        missing(name, f"apt-get install {package}, or make servers")
    assert found is not None
    return found


def node_module(relative: str) -> pathlib.Path:
    """The path of a file of an npm package, or the end of the test that needs it."""
    path = NODE_MODULES / relative
    if not path.exists():
        missing(relative.removesuffix("/package.json"), "make servers")
    return path


async def output_of(*command: str, within: float, **environment: str) -> str:
    """Run a program to its end in the folder of the project; return what it prints.

    Raises:
        AssertionError: It does not exit with 0; the message is what it printed.
        TimeoutError: It takes longer than ``within`` seconds, and is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    assert process.returncode == 0, text[-10_000:]
    return text


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have what is started within take SIGINT and SIGHUP as it does by default.

    A signal that is ignored here is ignored there: under nohup, and behind a shell's &.
    One that has a handler here has none there.
    """
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port nobody listens on, and that no outgoing connection will be given.

    Below the ephemeral range: a client that dials a server while it is down could
    otherwise be handed the server's own port as its local one, and so keep the
    server from coming back, or even connect to itself.
    """
    try:
        limits = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        first = int(limits.split()[0])
    except OSError:
        first = 32768
    for _ in range(200):
        port = random.SystemRandom().randrange(first - 12_000, first)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
            return port
    pytest.fail("no free port found")


class ServerProcess:
    """One server: start it, hurt it, start it again on the same port.

    ``log`` holds what the server said on its standard output as JSON objects, one
    a line, in order, over all its lives; ``output`` holds its other lines.
    """

    def __init__(
        self,
        command: list[str],
        *,
        port: int | None = None,
        path: str = "/",
        cwd: pathlib.Path | None = None,
        scheme: str = "ws",
    ) -> None:
        self.port = free_port() if port is None else port
        self.command = [part.replace("{port}", str(self.port)) for part in command]
        self.path = path
        self.scheme = scheme
        self.log: list[Entry] = []
        self.output: list[str] = []
        self._cwd = cwd if cwd is not None else ROOT
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to dial it: without a trailing slash, to append a path to."""
        return f"{self.scheme}://{HOST}:{self.port}{self.path.rstrip('/')}"

    @property
    def pid(self) -> int:
        """The process id, which is also that of its process group."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives, be it frozen."""
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self, *, within: float = 15.0) -> None:
        """Start it, and return once its port accepts a connection."""
        await asyncio.to_thread(self._start, within)

    async def stop(self, *, within: float = 5.0) -> int:
        """Ask it to end (SIGTERM), insist after ``within``; return its exit code."""
        return await asyncio.to_thread(self._end, signal.SIGTERM, within)

    async def ended(self, *, within: float = 15.0) -> int:
        """Wait until it ends by itself; return its exit code."""
        await asyncio.to_thread(
            self._poll, lambda: not self.is_running, within, "to end"
        )
        return await self.stop()

    async def kill(self) -> None:
        """End it at once (SIGKILL): the kernel closes its sockets, nobody says why."""
        await asyncio.to_thread(self._end, signal.SIGKILL, 5.0)

    async def restart(self, *, within: float = 15.0) -> None:
        """Kill it if it lives, and start it again on the same port."""
        await self.kill()
        await self.start(within=within)

    async def freeze(self) -> None:
        """Stop it (SIGSTOP): its sockets stay open, and the kernel still takes bytes."""
        self._signal(signal.SIGSTOP)
        await asyncio.to_thread(
            self._poll, lambda: self._run_state() == "T", 5.0, "to freeze"
        )

    async def thaw(self) -> None:
        """Let it run again (SIGCONT)."""
        self._signal(signal.SIGCONT)
        await asyncio.to_thread(
            self._poll, lambda: self._run_state() != "T", 5.0, "to thaw"
        )

    def entries(self, event: str, **fields: object) -> list[Entry]:
        """What has arrived of its log so far of one kind, with these values."""
        return [
            entry
            for entry in tuple(self.log)
            if entry.get("event") == event
            and all(entry.get(name) == value for name, value in fields.items())
        ]

    async def received(self, count: int, *, within: float = 5.0) -> list[str]:
        """Wait for ``count`` messages; return all texts there are, over all lives.

        An echo may overtake the log, so a test has to wait; that nothing else came
        shows once a later message is in it.
        """
        found = await self.logged("message", count=count, within=within)
        return [entry["text"] for entry in found if "text" in entry]

    async def logged(
        self, event: str, *, count: int = 1, within: float = 5.0, **fields: object
    ) -> list[Entry]:
        """Wait until the server has logged ``count`` such entries; return them."""
        deadline = time.monotonic() + within
        while len(found := self.entries(event, **fields)) < count:
            if time.monotonic() > deadline:
                pytest.fail(
                    f"{count} x {event} {fields} not logged in {within} s;"
                    f" the log ends with {self.log[-10:]}, {self.output[-10:]}"
                )
            await asyncio.sleep(_POLL)
        return found

    def _start(self, within: float) -> None:
        assert not self.is_running, "already running"
        self._process = subprocess.Popen(
            self.command,
            cwd=self._cwd,
            # It is our package that is measured, not the servers.
            env=unmeasured.environment(),
            # Ours to hold open: a server of ours ends when it closes, so that a
            # killed test run leaves none behind.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A group of its own, so that a signal reaches its workers as well.
            start_new_session=True,
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name=f"log of {self.pid}"
        )
        self._reader.daemon = True
        self._reader.start()
        try:
            self._poll(self._accepts, within, "to accept a connection")
        except BaseException:
            self._end(signal.SIGKILL, 5.0)
            raise

    def _accepts(self) -> bool:
        if not self.is_running:
            assert self._reader is not None
            self._reader.join(1.0)
            pytest.fail(f"{self.command} ended at once: {self.output[-20:]}")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((HOST, self.port)) == 0

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            entry: object = None
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
            if isinstance(entry, dict):
                self.log.append(entry)
            else:
                self.output.append(line.rstrip("\n"))

    def _signal(self, number: signal.Signals) -> None:
        # A group that is gone needs no signal.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _end(self, number: signal.Signals, within: float) -> int:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return 0
        if process.poll() is None:
            self._terminate(number)
            # A frozen process takes no signal but SIGKILL.
            self._signal(signal.SIGCONT)
            try:
                process.wait(within)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                process.wait(5.0)
        # Whatever of its group is left after an orderly end, too.
        self._signal(signal.SIGKILL)
        reader.join(5.0)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return process.returncode

    def _terminate(self, number: signal.Signals) -> None:
        """How the first signal of an end is given; a server with workers overrides."""
        self._signal(number)

    def _run_state(self) -> str:
        """The letter the kernel gives the process: R, S, T (stopped), ..."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        # The name, in brackets, may hold spaces and brackets.
        return stat.rpartition(")")[2].split()[0]

    def _poll(self, condition: Callable[[], bool], within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(
                    f"{self.command} took over {within} s {what}: {self.output[-20:]}"
                )
            time.sleep(_POLL)
