"""Dials through a SOCKS proxy, with the extra ``socks``; imported only when needed.

Rules: names are resolved here, unless the proxy does it, so that addresses are vetted
and a slow look-up blocks nothing. TLS with the server begins here: the extra would wait
for a hanging TLS handshake to close in order, so the dial could not be given up. The
extra's errors have no common base class, and are converted here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp_socks
from python_socks import ProxyConnectionError
from python_socks.async_.asyncio.v2 import Proxy as SocksProxy

from resilient_ws.errors import ConnectFailed
from resilient_ws.transport.current_dial import current_dial
from resilient_ws.transport.dial_errors import failed
from resilient_ws.transport.resolver import addresses_of


if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from aiohttp.client_proto import ResponseHandler
    from python_socks.async_.asyncio.v2._stream import AsyncioSocketStream

    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.transport.resolver import Found
    from resilient_ws.transport.response_handler import LimitedResponseHandler


#: The meaning of a proxy's reply, in SOCKS 4 (90 and above) and SOCKS 5 (RFC 1928).
_REFUSALS: Final[Mapping[int, str]] = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
    91: "rejected or failed",
    92: "no identd on this machine",
    93: "identd names another user",
}


class SocksTunnel(aiohttp_socks.ProxyConnector):
    """Makes connections through one SOCKS proxy.

    Args:
        resolves: The family of the addresses that names are resolved to here; ``None``
            if the proxy resolves names.
        options: The options of the extra's connector.
    """

    def __init__(
        self,
        *,
        resolves: socket.AddressFamily | None,
        **options: Any,  # noqa: ANN401 - the extra's own, handed on
    ) -> None:
        super().__init__(**options)
        self._resolves = resolves

    async def _wrap_create_connection(
        self,
        *args: Any,  # noqa: ANN401 - aiohttp's own, handed on
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Connect as the extra does, but raise our own errors."""
        where = current_dial().endpoint.redacted
        error: ConnectFailed
        try:
            return await super()._wrap_create_connection(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] - an address of aiohttp's is a bare tuple
        except (aiohttp_socks.ProxyError, asyncio.IncompleteReadError) as failure:
            error = _refused(failure, where)
        except socket.gaierror as failure:
            error = failed("resolve", failure, where)
        except (
            aiohttp_socks.ProxyConnectionError,
            aiohttp_socks.ProxyTimeoutError,
            OSError,
        ) as failure:
            error = failed("proxy", _root(failure), where)
        raise error

    async def _connect_via_proxy(
        self,
        host: str,
        port: int,
        ssl: SSLContext | None = None,
        timeout: float | None = None,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Connect as the extra does, except for names and TLS."""
        transport, protocol = await self._tunnel(
            await self._vetted(host), port, timeout
        )
        if ssl is None:
            return transport, protocol
        endpoint = current_dial().endpoint
        error: ConnectFailed
        try:
            secured = await self._loop.start_tls(
                transport, protocol, ssl, server_hostname=endpoint.server_name
            )
        except OSError as failure:
            transport.abort()
            error = failed("tls", failure, endpoint.redacted)
        except BaseException:
            transport.abort()
            raise
        else:
            secured = cast("asyncio.Transport", secured)
            protocol.connection_made(secured)
            return secured, protocol
        raise error

    async def _vetted(self, host: str) -> str:
        """Return the host to ask the proxy for: an allowed address, or a name."""
        if self._resolves is None:
            return host
        refusal: OSError | None = None
        for found in _preferred(await addresses_of(host)):
            if self._resolves not in (socket.AF_UNSPEC, found.family):
                continue
            try:
                current_dial().vet(found.address)
            except OSError as refused:
                refusal = refused
            else:
                return found.address
        raise refusal or socket.gaierror(socket.EAI_NONAME, "no address")

    async def _tunnel(
        self, host: str, port: int, timeout: float | None
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Have the proxy connect, and attach aiohttp's protocol to the connection."""
        stream = await self._stream(host, port, timeout)
        transport = cast("asyncio.Transport", stream.writer.transport)
        protocol = cast("LimitedResponseHandler", self._factory())
        # A StreamWriter closes its transport when it is garbage-collected.
        protocol.keep(stream.writer)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    async def _stream(
        self, host: str, port: int, timeout: float | None
    ) -> AsyncioSocketStream:
        """Connect to the proxy, trying its addresses in turn."""
        try:
            found = _preferred(await addresses_of(self._proxy_host))
        except OSError as failure:
            raise aiohttp_socks.ProxyConnectionError from failure
        last: Exception | None = None
        for one in found:
            proxy = SocksProxy(
                proxy_type=self._proxy_type,
                host=one.address,
                port=self._proxy_port,
                username=self._proxy_username,
                password=self._proxy_password,
                rdns=self._rdns,
            )
            try:
                return await proxy.connect(
                    dest_host=host, dest_port=port, timeout=timeout
                )
            except ProxyConnectionError as failure:
                last = failure
        assert last is not None  # noqa: S101 - there is an address
        raise last


def _preferred(found: tuple[Found, ...]) -> list[Found]:
    """Sort IPv4 addresses first, as the extra does: a proxy may support only those."""
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return sorted(found, key=lambda one: one.family)


def socks_tunnel(proxy: Proxy) -> SocksTunnel:
    """Return a connector for a proxy; with ``socks5h`` the proxy resolves names."""
    scheme, rest = proxy.url.split("://", 1)
    remote = scheme == "socks5h"
    plain = "socks5" if remote else scheme
    # SOCKS 4 cannot carry an IPv6 address.
    local = socket.AF_INET if scheme == "socks4" else socket.AF_UNSPEC
    tunnel = SocksTunnel.from_url(
        f"{plain}://{rest}",
        rdns=remote,
        resolves=None if remote else local,
        limit=0,
        force_close=True,
    )
    assert isinstance(tunnel, SocksTunnel)  # noqa: S101 - from_url() is typed to return the parent class
    return tunnel


def _refused(failure: Exception, where: str) -> ConnectFailed:
    code = getattr(failure, "error_code", None)
    if isinstance(code, int):
        said = _REFUSALS.get(code, "no reason known")
        text = f"could not connect: {said} (SOCKS reply {int(code)})."
    else:
        text = (
            "did not complete the SOCKS handshake. Check the scheme, the port and the "
            "user:password@ of the proxy URL."
        )
    return ConnectFailed(f"The proxy on the way to {where} {text}", stage="proxy")


def _root(failure: BaseException) -> BaseException:
    """Return the OSError that the extra or python_socks has wrapped, or ``failure``."""
    while isinstance(failure.__cause__, OSError):
        failure = failure.__cause__
    return failure
