"""Through a SOCKS proxy, with the extra ``socks``; imported only when one is used.

Rules: names are resolved here, unless the proxy does it, because what we resolve we
vet. TLS with the server begins here: the extra would wait for an orderly end of a
connection that hangs in its TLS handshake, so that the dial could not be given up. Its
errors share no root, and become ours here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp_socks

from resilient_ws.errors import ConnectFailed
from resilient_ws.transport.translate import failed


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ssl import SSLContext

    from aiohttp.client_proto import ResponseHandler

    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint


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
        transport, protocol = await super()._connect_via_proxy(
            await self._vetted(host, port), port, timeout=timeout
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

    async def _vetted(self, host: str, port: int) -> str:
        """Return what the proxy is asked for: an address that is allowed, or a name."""
        if self.resolves is None:
            return host
        found = await self._loop.getaddrinfo(
            host, port, family=self.resolves, type=socket.SOCK_STREAM
        )
        refusal: OSError | None = None
        # IPv4 first, as the extra has it: a proxy may have nothing else.
        for _, _, _, _, address in sorted(found, key=lambda info: info[0]):
            try:
                self.vet(str(address[0]))
            except OSError as refused:
                refusal = refused
            else:
                return str(address[0])
        raise refusal or socket.gaierror(socket.EAI_NONAME, "no address")


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
