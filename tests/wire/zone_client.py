"""A session to a link-local address, in a network where nothing else is.

Run in a network namespace of its own. It prints a line for each way to dial: the way,
the ``Host`` that the server was told, and the endpoint as it is shown.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess

import aiohttp
import trustme
import uvloop

from resilient_ws import Access, connect
from tests.wire.raw import Peer, RawServer


ADDRESS = "fe80::7"


class LinkLocalServer(RawServer):
    """A server at a link-local address of the loopback."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(agrees, tls=tls)
        self._listener = LinkLocalSocket(socket.AF_INET6)


class LinkLocalSocket(socket.socket):
    def bind(self, _: object) -> None:
        super().bind((ADDRESS, 0, 0, socket.if_nametoindex("lo")))


def agrees(peer: Peer) -> None:
    peer.accept()
    peer.echo()


async def main() -> None:
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(ADDRESS).configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    async with aiohttp.ClientSession() as http:
        for way, borrowed in [("ws", None), ("wss", None), ("borrowed", http)]:
            scheme = "ws" if way == "ws" else "wss"
            async with LinkLocalServer(
                server_tls if scheme == "wss" else None
            ) as server:
                url = f"{scheme}://[{ADDRESS}%25lo]:{server.port}/a?k=v"
                session = connect(
                    url,
                    access=Access(allow_insecure=True),
                    http=borrowed,
                    ssl=client_tls,
                    wait_open=10.0,
                )
                async with session:
                    shown = repr(session).split("://")[1].split()[0].rstrip(">,")
                    told = server.requests[0].headers["host"]
                    print(way, told, f"{scheme}://{shown}")


if __name__ == "__main__":
    for command in (
        "ip link set lo up",
        f"ip address add {ADDRESS}/64 dev lo nodad",
    ):
        subprocess.run(command.split(), check=True)
    asyncio.run(main())
    uvloop.run(main())
