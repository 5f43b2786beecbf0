"""Through a SOCKS proxy, with the extra ``socks``; imported only when one is used.

Rules: names are resolved here, unless the proxy does it, because what we resolve we
vet, and because a look-up of ours holds nothing up. TLS with the server begins here:
the extra would wait for an orderly end of a connection that hangs in its TLS handshake,
so that the dial could not be given up. Its errors share no root, and become ours here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp_socks
from python_socks import ProxyConnectionError
from python_socks.async_.asyncio.v2 import Proxy as SocksProxy

from resilient_ws.errors import ConnectFailed
from resilient_ws.transport.names import addresses_of
from resilient_ws.transport.translate import failed


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ssl import SSLContext

    from aiohttp.client_proto import ResponseHandler
    from python_socks.async_.asyncio.v2._stream import AsyncioSocketStream

    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.metered import MeteredHandler
    from resilient_ws.transport.names import Found


#: What a proxy says in its answer, in SOCKS 4 (90 and above) and in SOCKS 5 (RFC 1928).
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
    """Makes connections through one SOCKS proxy."""

    #: Says where the dial at hand leads.
    endpoint: Callable[[], Endpoint]
    #: Raises an OSError for an address that it may not lead to.
    vet: Callable[[str], None]
    #: Of what family addresses may be; ``None`` where the proxy resolves names.
    resolves: socket.AddressFamily | None

    async def _wrap_create_connection(
        self,
        *args: Any,  # noqa: ANN401 - aiohttp's own, handed on
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Do what the extra does, and raise errors of ours."""
        where = self.endpoint().redacted
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
        """Do what the extra does, but for names and TLS."""
        transport, protocol = await self._tunnel(
            await self._vetted(host), port, timeout
        )
        if ssl is None:
            return transport, protocol
        error: ConnectFailed
        try:
            secured = await self._loop.start_tls(
                transport, protocol, ssl, server_hostname=self.endpoint().server_name
            )
        except OSError as failure:
            transport.abort()
            error = failed("tls", failure, self.endpoint().redacted)
        except BaseException:
            transport.abort()
            raise
        else:
            secured = cast("asyncio.Transport", secured)
            protocol.connection_made(secured)
            return secured, protocol
        raise error

    async def _vetted(self, host: str) -> str:
        """Return what the proxy is asked for: an address that is allowed, or a name."""
        if self.resolves is None:
            return host
        refusal: OSError | None = None
        for found in _preferred(await addresses_of(host)):
            if self.resolves not in (socket.AF_UNSPEC, found.family):
                continue
            try:
                self.vet(found.address)
            except OSError as refused:
                refusal = refused
            else:
                return found.address
        raise refusal or socket.gaierror(socket.EAI_NONAME, "no address")

    async def _tunnel(
        self, host: str, port: int, timeout: float | None
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Have the proxy connect, and put aiohttp's side on what it gives."""
        stream = await self._stream(host, port, timeout)
        transport = cast("asyncio.Transport", stream.writer.transport)
        protocol = cast("MeteredHandler", self._factory())
        # A writer that is forgotten closes its transport.
        protocol.keeps = stream.writer
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    async def _stream(
        self, host: str, port: int, timeout: float | None
    ) -> AsyncioSocketStream:
        """Try the addresses of the proxy in turn."""
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
    """Sort addresses as the extra does: a proxy may have nothing but IPv4."""
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    return sorted(found, key=lambda one: one.family)


def socks_tunnel(
    proxy: Proxy, endpoint: Callable[[], Endpoint], vet: Callable[[str], None]
) -> SocksTunnel:
    """Return a connector for a proxy; ``socks5h`` means that it resolves names."""
    scheme, rest = proxy.url.split("://", 1)
    remote = scheme == "socks5h"
    plain = "socks5" if remote else scheme
    tunnel = SocksTunnel.from_url(
        f"{plain}://{rest}", rdns=remote, limit=0, force_close=True
    )
    assert isinstance(tunnel, SocksTunnel)  # noqa: S101 - it says it makes its parent
    tunnel.endpoint = endpoint
    tunnel.vet = vet
    # SOCKS 4 has no place for an IPv6 address.
    local = socket.AF_INET if scheme == "socks4" else socket.AF_UNSPEC
    tunnel.resolves = None if remote else local
    return tunnel


def _refused(failure: Exception, where: str) -> ConnectFailed:
    code = getattr(failure, "error_code", None)
    if isinstance(code, int):
        said = _REFUSALS.get(code, "no reason known")
        text = f"made no connection: {said} (SOCKS reply {int(code)})."
    else:
        text = (
            "did not go along. Check the scheme and the port of the proxy URL, and the "
            "user:password@ in it."
        )
    return ConnectFailed(f"The proxy on the way to {where} {text}", stage="proxy")


def _root(failure: BaseException) -> BaseException:
    """Return what the extra, and what it is built on, have wrapped."""
    while isinstance(failure.__cause__, OSError):
        failure = failure.__cause__
    return failure
