"""Makes the HTTP requests of one session: with our aiohttp client, or the user's.

Rules: a session joins a shared client when it first needs one and leaves it at its end;
a borrowed client is never closed. With a proxy, our sockets see only the proxy's
address, so hosts are vetted instead, and the addresses that we resolve for the proxy.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from yarl import URL

from resilient_ws.errors import ConnectFailed, Fatal
from resilient_ws.policy._validate import require, wrong_type
from resilient_ws.policy.cookies import own_cookies, with_cookies
from resilient_ws.transport.current_dial import CurrentDial, vetted_socket
from resilient_ws.transport.dial_errors import unusable_answer
from resilient_ws.transport.proxy_choice import check_proxy, chosen_proxy
from resilient_ws.transport.resolver import Resolver
from resilient_ws.transport.session_cookies import SessionCookies
from resilient_ws.transport.shared_client import NO_TIMEOUT, clients_of
from resilient_ws.transport.tunnel import HttpTunnel


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Hashable

    from resilient_ws.errors import ResilientWSError
    from resilient_ws.policy.access import Access
    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.current_dial import Progress
    from resilient_ws.transport.shared_client import SharedClient


#: What a user may lend for dialling.
ClientSession: TypeAlias = aiohttp.ClientSession


class _Unanswered(Exception):
    """Raised when no answer came; aiohttp would retry after an error of its own."""

    def __init__(self, failure: aiohttp.ClientError) -> None:
        super().__init__()
        self.failure = failure


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Stop aiohttp from dialling again when a GET was not answered."""
    unanswered = None
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as failure:
        unanswered = _Unanswered(failure)
    raise unanswered


class HttpClient:
    """Makes the HTTP requests that become a session's connections, one at a time."""

    __slots__ = (
        "_access",
        "_borrowed",
        "_cookies",
        "_dial",
        "_joined",
        "_proxy",
        "_ssl",
    )

    def __init__(
        self,
        *,
        access: Access,
        proxy: Proxy | None,
        http: ClientSession | None,
        tls: ssl.SSLContext | bool,
    ) -> None:
        self._access = access
        self._proxy = proxy
        self._borrowed = http
        self._ssl = tls
        self._cookies = SessionCookies()
        self._joined: dict[Hashable, SharedClient] = {}
        # The last dial, until it is forgotten.
        self._dial: CurrentDial | None = None

    @property
    def borrowed(self) -> bool:
        """Whether the user lent the client, with headers of its own."""
        return self._borrowed is not None

    def proxied(self, endpoint: Endpoint) -> bool:
        """Return whether a proxy dials this endpoint."""
        return self._proxy_for(endpoint) is not None

    # How far the last dial got.

    @property
    def progress(self) -> Progress:
        """How far the last dial got."""
        return "connect" if self._dial is None else self._dial.progress

    @property
    def answer_size(self) -> int:
        """How many bytes of an answer the last dial received."""
        answer = None if self._dial is None else self._dial.answer
        return 0 if answer is None else answer.size

    def forget_dial(self) -> None:
        """Forget how far the last dial got."""
        if self._dial is not None:
            self._dial.finish()
            self._dial = None

    # Requests.

    async def get(
        self, endpoint: Endpoint, headers: list[tuple[str, str]]
    ) -> aiohttp.ClientResponse:
        """Send the request and return the answer, whatever its status.

        Raises:
            SecurityError: Every address of the host is refused.
            ConnectFailed: The proxy is unusable, or the answer malformed or too long.
            Fatal: The borrowed client is closed.
            Exception: Any other error of aiohttp, for ``dial_errors`` to convert.
        """
        proxy = self._proxy_for(endpoint)
        client, plain_proxy = self._client(endpoint, proxy)
        dial = self._dial = CurrentDial(
            endpoint, access=self._access, cookies=self._cookies
        )
        try:
            with dial.under_way():
                return await client.get(
                    request_url(endpoint),
                    **self._options(endpoint, headers),
                    allow_redirects=False,
                    raise_for_status=False,
                    read_until_eof=False,
                    auto_decompress=False,
                    timeout=NO_TIMEOUT,
                    proxy=plain_proxy,
                    ssl=self._ssl,
                    # A borrowed client may reuse a connection that the server has
                    # since closed, and then needs aiohttp's retry.
                    middlewares=None if self.borrowed else (_once,),
                )
        except Exception as raised:  # noqa: BLE001 - raised again below
            failure = raised.failure if isinstance(raised, _Unanswered) else raised
        # Outside the except block, so that aiohttp's exception is not its context.
        raise self._known_failure(dial, failure, headers) or failure

    def _known_failure(
        self, dial: CurrentDial, failure: Exception, headers: list[tuple[str, str]]
    ) -> ResilientWSError | None:
        """Return our error for a failure that only this client can explain."""
        refusal = dial.verdict(failure)
        if refusal is not None:
            return refusal
        if self._borrowed is not None and self._borrowed.closed:
            return _lent_closed()
        if dial.answer is None:
            return None
        return unusable_answer(dial.answer, failure, dial.endpoint, headers)

    def _options(
        self, endpoint: Endpoint, headers: list[tuple[str, str]]
    ) -> dict[str, Any]:
        """Return the headers, cookies and server name for a request.

        The jar of a borrowed client overrides the Cookie header. The user's own cookies
        are therefore passed as request cookies too, which override the jar.
        """
        options: dict[str, Any] = {}
        if endpoint.dialled_host != endpoint.host:
            if endpoint.secure:
                options["server_hostname"] = endpoint.server_name
            if not any(name.lower() == "host" for name, _ in headers):
                headers = [("Host", endpoint.host_header), *headers]
        if self._borrowed is None:
            cookies = self._cookies.meant_for(endpoint)
            options["headers"] = with_cookies(headers, cookies)
        else:
            jar = self._borrowed.cookie_jar.filter_cookies(request_url(endpoint))
            own = own_cookies(headers)
            options["cookies"] = {name: own[name] for name in own if name in jar}
            options["headers"] = headers
        return options

    # Proxies and clients.

    def _proxy_for(self, endpoint: Endpoint) -> Proxy | None:
        """Return the proxy for an endpoint; the environment is checked each time.

        Raises:
            ConnectFailed: The environment names a proxy that cannot be used.
        """
        try:
            check_proxy(endpoint, self._proxy, borrowed=self.borrowed)
            return chosen_proxy(endpoint, self._proxy)
        except ValueError as wrong:
            text = str(wrong)
        raise ConnectFailed(
            f"The proxy that the environment sets cannot be used: {text} Fix "
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or leave proxy='env' out.",
            stage="proxy",
        )

    def _client(
        self, endpoint: Endpoint, proxy: Proxy | None
    ) -> tuple[ClientSession, str | None]:
        """Return the client to use, and the URL of a proxy that aiohttp handles."""
        if self._borrowed is not None:
            if self._borrowed.closed:
                raise _lent_closed()
            return self._borrowed, None if proxy is None else proxy.url
        if proxy is None:
            return self._shared("direct", _direct), None
        if proxy.is_http and endpoint.secure:
            return self._shared("proxied", _proxied), proxy.url
        tunnel = partial(_tunnel, proxy, self._ssl)
        return self._shared((proxy, self._ssl), tunnel), None

    def _shared(
        self, way: Hashable, connector: Callable[[], aiohttp.BaseConnector]
    ) -> ClientSession:
        if way not in self._joined:
            clients = clients_of(asyncio.get_running_loop())
            self._joined[way] = clients.join(way, connector)
        return self._joined[way].http

    async def close(self) -> None:
        """Leave the shared clients that were joined."""
        while self._joined:
            _, shared = self._joined.popitem()
            await shared.leave()


def request_url(endpoint: Endpoint) -> URL:
    """Return the URL of a request, encoded so that aiohttp and yarl do not alter it."""
    path, mark, query = endpoint.target.partition("?")
    return URL.build(
        scheme=endpoint.http_scheme,
        authority=endpoint.authority,
        # yarl drops an empty query, so its question mark goes into the path.
        path=path if query else path + mark,
        query_string=query,
        encoded=True,
    )


def _direct() -> aiohttp.BaseConnector:
    return _connector(vetted_socket)


def _proxied() -> aiohttp.BaseConnector:
    return _connector(None)


def _tunnel(
    proxy: Proxy,
    tls: ssl.SSLContext | bool,  # noqa: FBT001 - as aiohttp and connect() have it
) -> aiohttp.BaseConnector:
    if proxy.is_http:
        return HttpTunnel(proxy, tls)
    from resilient_ws.transport.socks import (  # noqa: PLC0415 - an extra, checked by connect()
        socks_tunnel,
    )

    return socks_tunnel(proxy)


def _connector(
    socket_factory: Callable[[Any], socket.socket] | None,
) -> aiohttp.TCPConnector:
    # No DNS cache: after a failover it would return the address that is down.
    return aiohttp.TCPConnector(
        limit=0,
        force_close=True,
        use_dns_cache=False,
        resolver=Resolver(),
        socket_factory=socket_factory,
    )


def _lent_closed() -> Fatal:
    return Fatal(
        "The session ended because the aiohttp.ClientSession given as http is closed. "
        "Keep it open for as long as the session, or leave http out."
    )


def check_client(http: ClientSession | None, *, allow_private: bool) -> None:
    """Check the ``http`` argument of ``connect()``."""
    if http is None:
        return
    require(http, ClientSession, "http", "an aiohttp.ClientSession")
    if http.closed:
        raise ValueError(
            "http must be an open client, but it is closed: call connect() inside its "
            "async with block, or leave http out."
        )
    if not allow_private:
        raise ValueError(
            "http cannot be combined with Access(allow_private=False): the addresses "
            "that your own client dials cannot be checked; leave http out."
        )


def check_ssl(value: object) -> ssl.SSLContext | bool:
    """Check the ``ssl`` argument of ``connect()``."""
    if value is False:
        raise ValueError(
            "ssl=False would accept any certificate; pass an ssl.SSLContext that "
            "trusts yours instead."
        )
    if value is not True and not isinstance(value, ssl.SSLContext):
        raise wrong_type("ssl", "an ssl.SSLContext", value)
    return value
