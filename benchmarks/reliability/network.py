"""Network namespaces with real wires between them, and the harm done to those.

Rules: every name carries the pid of the process that made it, so that runs do not
meet and what a killed run left behind can be told and removed; no address of the
machine itself is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pathlib
import shutil
import sys
from typing import TYPE_CHECKING, Final, Literal, Self


if TYPE_CHECKING:
    from collections.abc import Iterator


#: What the situations need, and the Debian package that has it.
TOOLS: Final = {
    "ip": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "dnsmasq": "dnsmasq-base",
    "setpriv": "util-linux",
    "node": "nodejs",
}

CLIENT: Final = "10.77.0.1"
SERVER: Final = "10.77.0.2"
#: A second address of the server, to move to.
ELSEWHERE: Final = "10.77.0.3"
#: Where the name server is, which is the server's third.
NAMES: Final = "10.77.0.53"
#: The name that it knows.
NAME: Final = "feed.test"
#: The prefix of the addresses of version 6; the last figure is the same as above.
SIX: Final = "fd77::"
PORT: Final = 8000

Direction = Literal["inbound", "outbound", "both"]

#: The repository, where programs are started.
ROOT: Final = pathlib.Path(__file__).parents[2]

_PREFIX: Final = "rel"
_ETC: Final = pathlib.Path("/etc/netns")
# Debian keeps daemons where only root's PATH looks.
_PATH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_ordinals: Final = itertools.count(1)


async def command(*words: str, text: str | None = None) -> str:
    """Run a program to its end; give what it printed.

    Raises:
        RuntimeError: It failed; the message is what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PATH": _PATH},
    )
    output, _ = await process.communicate((text or "").encode())
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {output.decode().strip()}")
    return output.decode()


class Host:
    """One namespace: a machine of its own, as far as its network goes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def inside(self, *words: str) -> list[str]:
        """The command line that runs a program in it; the pid stays the same."""
        ip = shutil.which("ip", path=_PATH)
        assert ip is not None
        return [ip, "netns", "exec", self.name, *words]

    async def run(self, *words: str, text: str | None = None) -> str:
        """Run a program in it to its end; give what it printed."""
        return await command(*self.inside(*words), text=text)

    async def ip(self, words: str) -> None:
        """Run ``ip`` on it."""
        await command("ip", "-n", self.name, *words.split())

    async def nft(self, rules: str) -> None:
        """Add rules of nftables."""
        await self.run("nft", "-f", "-", text=rules)

    async def cut(self, what: str) -> None:
        """Drop what comes in and matches, in silence, until ``mend``."""
        await self.nft(f"""
            add table inet cut
            add chain inet cut in {{ type filter hook input priority 0; }}
            add rule inet cut in {what} drop
        """)

    async def mend(self) -> None:
        """Let everything in again."""
        await self.nft("delete table inet cut")

    async def sockets(self, condition: str) -> list[list[str]]:
        """The established TCP sockets, as the columns that ``ss`` shows."""
        shown = await self.run("ss", "-Htn", "state", "established", condition)
        return [line.split() for line in shown.splitlines()]

    def resolve_with(self, server: str) -> None:
        """Have every program that is started in it ask this name server."""
        folder = _ETC / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(
            f"nameserver {server}\noptions timeout:1 attempts:1\n"
        )


class Network:
    """A client's host and a server's, with a wire between them, or with a router.

    Use it as ``async with Network() as network``; it is gone afterwards.
    """

    def __init__(self, *, routed: bool = False) -> None:
        stem = f"{_PREFIX}{os.getpid()}-{next(_ordinals)}"
        self.client = Host(f"{stem}c")
        self.server = Host(f"{stem}s")
        self.router = Host(f"{stem}r") if routed else None

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for host in self._hosts():
            with contextlib.suppress(RuntimeError):  # half built
                await command("ip", "netns", "del", host.name)
            _forget(host.name)

    def _hosts(self) -> Iterator[Host]:
        yield self.client
        yield self.server
        if self.router is not None:
            yield self.router

    async def _build(self) -> None:
        for host in self._hosts():
            await command("ip", "netns", "add", host.name)
            await host.ip("link set lo up")
        if self.router is None:
            await self._wire(self.client, "wire0", self.server, "wire0")
            await self.address(self.client, CLIENT)
        else:
            await self._route(self.router)
        await self.address(self.server, SERVER)

    async def _route(self, router: Host) -> None:
        """A router that hides the client's address behind its own."""
        await self._wire(self.client, "wire0", router, "inside0")
        await self._wire(router, "outside0", self.server, "wire0")
        await self.address(router, CLIENT, "outside0")
        await router.ip("addr add 192.168.7.1/24 dev inside0")
        await self.client.ip("addr add 192.168.7.2/24 dev wire0")
        await self.client.ip("route add default via 192.168.7.1")
        await router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        # What it does not know it does not pick up, as carriers' routers do.
        await router.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
        await router.nft("""
            add table ip nat
            add chain ip nat out { type nat hook postrouting priority 100; }
            add rule ip nat out oifname "outside0" masquerade
            add chain ip nat pass { type filter hook forward priority 0; }
            add rule ip nat pass ct state invalid drop
            add rule ip nat pass iifname "outside0" ct state new drop
            add chain ip nat in { type filter hook input priority 0; }
            add rule ip nat in iifname "outside0" ct state { invalid, new } drop
        """)

    async def _wire(self, one: Host, end: str, other: Host, other_end: str) -> None:
        await command(
            *("ip", "link", "add", end, "netns", one.name, "type", "veth"),
            *("peer", "name", other_end, "netns", other.name),
        )
        await one.ip(f"link set {end} up")
        await other.ip(f"link set {other_end} up")

    async def address(self, host: Host, address: str, wire: str = "wire0") -> None:
        """Give a host an address, and the one of version 6 with the same ending."""
        await host.ip(f"addr add {address}/24 dev {wire}")
        six = f"{SIX}{address.rpartition('.')[2]}"
        await host.ip(f"addr add {six}/64 dev {wire} nodad")

    async def drop(self, direction: Direction) -> None:
        """Let what goes this way, seen from the client, vanish without a word."""
        if direction in {"outbound", "both"}:
            await self.server.cut(f"tcp dport {PORT}")
        if direction in {"inbound", "both"}:
            await self.client.cut(f"tcp sport {PORT}")

    async def forget_connections(self) -> None:
        """The router loses its state: what it translated, it translates no more."""
        assert self.router is not None
        await self.router.run("conntrack", "-F")


def _forget(name: str) -> None:
    shutil.rmtree(_ETC / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # others have theirs in it
        _ETC.rmdir()


async def obstacle() -> str | None:
    """What keeps this machine from making namespaces, with a remedy; or ``None``."""
    if sys.platform != "linux":
        return "network namespaces are Linux's: run it there"
    if os.geteuid() != 0:
        return "network namespaces need root: run it with sudo, or in a container"
    absent = sorted({p for t, p in TOOLS.items() if not shutil.which(t, path=_PATH)})
    if absent:
        return f"missing: apt-get install {' '.join(absent)}, or make servers"
    try:
        async with Network(routed=True):
            return None
    except RuntimeError as error:
        return f"not allowed to make network namespaces, or not able: {error}"


async def sweep() -> None:
    """Remove what a run that was killed left behind."""
    for line in (await command("ip", "netns", "list")).splitlines():
        name = line.split()[0]
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and pid.isdigit() and not _alive(int(pid)):
            with contextlib.suppress(RuntimeError):  # another run sweeps as well
                await command("ip", "netns", "del", name)
            _forget(name)


def _alive(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()
