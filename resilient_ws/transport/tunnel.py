"""Tunnels through an HTTP proxy with CONNECT, for URLs that aiohttp does not tunnel.

aiohttp tunnels ``wss://`` itself, but sends ``ws://`` as a plain GET, which most
proxies refuse.

Rules: the proxy's answer is read to its end and no further, however it is cut into
packets. On any error the transport is aborted at once, so that a dial can be given up
while the proxy hangs.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp

from resilient_ws.errors import ConnectFailed
from resilient_ws.policy.foreign_protocols import FIRST_BYTES, is_http
from resilient_ws.policy.host import bracketed
from resilient_ws.transport.current_dial import PartialAnswer, current_dial
from resilient_ws.transport.dial_errors import failed, rejected, unusable_answer
from resilient_ws.transport.resolver import addresses_of
from resilient_ws.transport.response_handler import MAX_HEAD


if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.client_proto import ResponseHandler

    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint


_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")


class ConnectAnswer(asyncio.Protocol):
    """Collects a proxy's answer to CONNECT, up to the empty line."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        #: The answer, once it is complete or nothing more of it will be read.
        self.complete: asyncio.Future[bytes] = (
            asyncio.get_running_loop().create_future()
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to pause it later."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the answer, until it is complete, too long or not HTTP."""
        searched = max(0, len(self._data) - len(_END) + 1)
        self._data += data
        complete = self._data.find(_END, searched) >= 0 or len(self._data) > MAX_HEAD
        if complete or not is_http(bytes(self._data[:FIRST_BYTES])):
            assert self._transport is not None  # noqa: S101 - data comes after it is made
            self._transport.pause_reading()
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the received bytes say enough
        """Finish with what was received."""
        self._finish()

    def _finish(self) -> None:
        if not self.complete.done():
            self.complete.set_result(bytes(self._data))


class HttpTunnel(aiohttp.BaseConnector):
    """Makes connections through one HTTP proxy.

    Args:
        proxy: The proxy.
        tls: The TLS settings for an https:// proxy.
    """

    def __init__(
        self,
        proxy: Proxy,
        tls: ssl.SSLContext | bool,  # noqa: FBT001 - as aiohttp and connect() have it
    ) -> None:
        super().__init__(limit=0, force_close=True)
        self._proxy = proxy
        self._tls = tls if proxy.scheme == "https" else None

    async def _create_connection(self, *_: Any, **__: Any) -> ResponseHandler:  # noqa: ANN401 - aiohttp's arguments, none is needed
        """Return a connected protocol, as aiohttp requires of a connector."""
        dial = current_dial()
        endpoint = dial.endpoint
        transport, answer = await self._reach(endpoint)
        try:
            dial.asking_proxy()
            transport.write(self._request(endpoint))
            rest = _established(await answer.complete, endpoint, self._secrets)
        except BaseException:
            transport.abort()
            raise
        protocol = self._factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            protocol.data_received(rest)
        transport.resume_reading()
        return protocol

    async def _reach(
        self, endpoint: Endpoint
    ) -> tuple[asyncio.Transport, ConnectAnswer]:
        """Connect to the proxy; raise only our own errors."""
        error: ConnectFailed
        try:
            return await self._connected()
        except OSError as failure:
            error = failed("proxy", failure, endpoint.redacted, by="proxy")
        raise error

    async def _connected(self) -> tuple[asyncio.Transport, ConnectAnswer]:
        """Connect to the proxy, trying its addresses in turn."""
        last: OSError | None = None
        for found in await addresses_of(self._proxy.host):
            try:
                return await self._loop.create_connection(
                    ConnectAnswer,
                    found.address,
                    self._proxy.port,
                    ssl=self._tls,
                    server_hostname=self._proxy.server_name if self._tls else None,
                )
            except ssl.SSLError:
                raise
            except OSError as failure:
                last = failure
        raise last or socket.gaierror(socket.EAI_NONAME, "no address")

    @property
    def _secrets(self) -> list[tuple[str, str]]:
        """The headers that only the proxy may see."""
        authorization = self._proxy.authorization
        if authorization is None:
            return []
        return [("Proxy-Authorization", authorization)]

    def _request(self, endpoint: Endpoint) -> bytes:
        authority = f"{bracketed(endpoint.dialled_host)}:{endpoint.port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in self._secrets]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def _established(
    answer: bytes, endpoint: Endpoint, asked: Sequence[tuple[str, str]]
) -> bytes:
    """Return the bytes that follow a 2xx answer; raise for any other answer."""
    head, end, rest = answer.partition(_END)
    status = _STATUS.match(answer)
    if status is None or not end:
        raise _unusable(answer, endpoint, asked, cut=not end)
    code = int(status[1])
    if 200 <= code < 300:  # noqa: PLR2004 - any 2xx means that the tunnel stands (RFC 9110 §9.3.6)
        return rest
    fields = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    headers = {name.strip(): value.strip() for name, _, value in fields}
    raise rejected(code, headers, endpoint.redacted, by="proxy")


def _unusable(
    answer: bytes, endpoint: Endpoint, asked: Sequence[tuple[str, str]], *, cut: bool
) -> ConnectFailed:
    """Return the error for an answer that is not a response to CONNECT."""
    too_long = len(answer) > MAX_HEAD
    excess = f"more than {MAX_HEAD:,} bytes of headers" if too_long else None
    received = PartialAnswer(answer[:FIRST_BYTES], len(answer), excess, of_proxy=True)
    broken = aiohttp.ServerDisconnectedError() if cut else aiohttp.ClientPayloadError()
    return unusable_answer(received, broken, endpoint, asked) or ConnectFailed(
        f"The proxy on the way to {endpoint} ended the connection when it was asked "
        "for a tunnel. Check the scheme and the port of the proxy URL.",
        stage="proxy",
    )
