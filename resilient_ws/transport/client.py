"""The aiohttp client that dials: ours, or one that the user lends.

Rules: a session joins a shared client when it first needs one and leaves it at its end;
a borrowed one is never closed. With a proxy, our sockets only see the proxy's address,
so hosts are vetted instead, and the addresses that we resolve for the proxy.
"""

from __future__ import annotations

import importlib.util
import ssl
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp

from resilient_ws.errors import ConnectFailed, Fatal
from resilient_ws.policy._validate import require, wrong_type
from resilient_ws.policy.cookies import own_cookies, with_cookies
from resilient_ws.policy.no_proxy import excepted
from resilient_ws.policy.proxy import parse_proxy
from resilient_ws.transport.at_hand import (
    Caller,
    endpoint_at_hand,
    request_url,
    vet_at_hand,
    vetted_socket,
)
from resilient_ws.transport.metered import odd_answer
from resilient_ws.transport.names import Names
from resilient_ws.transport.shared import NO_TIMEOUT, SharedClient
from resilient_ws.transport.tunnel import HttpTunnel


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Hashable

    from resilient_ws.errors import ResilientWSError
    from resilient_ws.policy.access import Access
    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.at_hand import Progress
    from resilient_ws.transport.metered import Heard


#: What a user may lend for dialling.
ClientSession: TypeAlias = aiohttp.ClientSession


class Unanswered(Exception):
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
        unanswered = Unanswered(failure)
    raise unanswered


class HttpClient:
    """Makes the HTTP requests that become a session's connections."""

    __slots__ = ("_borrowed", "_caller", "_joined", "_proxy", "_ssl")

    def __init__(
        self,
        *,
        access: Access,
        proxy: Proxy | None,
        http: ClientSession | None,
        tls: ssl.SSLContext | bool,
    ) -> None:
        self._caller = Caller(access)
        self._proxy = proxy
        self._borrowed = http
        self._ssl = tls
        self._joined: dict[Hashable, SharedClient] = {}

    @property
    def borrowed(self) -> bool:
        """Whether the user lent the client, with headers of its own."""
        return self._borrowed is not None

    def proxied(self, endpoint: Endpoint) -> bool:
        """Whether a proxy dials this endpoint."""
        return self._chosen(endpoint) is not None

    async def get(
        self, endpoint: Endpoint, headers: list[tuple[str, str]]
    ) -> aiohttp.ClientResponse:
        """Send the request and return the answer, whatever its status.

        Raises:
            SecurityError: Every address of the host is refused.
            ConnectFailed: The proxy is unusable, or the answer malformed or too long.
            Fatal: The borrowed client is closed.
            Exception: Any other error of aiohttp, for ``translate`` to convert.
        """
        proxy = self._chosen(endpoint)
        client, plain_proxy = self._client(endpoint, proxy)
        try:
            with self._caller.calling(endpoint):
                return await client.get(
                    request_url(endpoint),
                    **self._asked(endpoint, headers),
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
        except Exception as failure:
            refusal: ResilientWSError | None = self._caller.verdict(failure)
            if refusal is None and self._borrowed is not None and client.closed:
                refusal = _lent_closed()
            refusal = refusal or self._odd_answer(failure, endpoint, headers)
            if refusal is None:
                raise
        # Outside the except block, so that aiohttp's exception is not its context.
        raise refusal

    def _chosen(self, endpoint: Endpoint) -> Proxy | None:
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

    def _asked(
        self, endpoint: Endpoint, headers: list[tuple[str, str]]
    ) -> dict[str, Any]:
        """Return the headers, cookies and server name for a request.

        The jar of a borrowed client overrides the Cookie header. The user's own cookies
        are therefore passed as request cookies too, which override the jar.
        """
        asked: dict[str, Any] = {}
        if endpoint.dialled_host != endpoint.host:
            if endpoint.secure:
                asked["server_hostname"] = endpoint.server_name
            if not any(name.lower() == "host" for name, _ in headers):
                headers = [("Host", endpoint.host_header), *headers]
        if self._borrowed is None:
            asked["headers"] = with_cookies(headers, self._caller.cookies())
        else:
            jar = self._borrowed.cookie_jar.filter_cookies(request_url(endpoint))
            own = own_cookies(headers)
            asked["cookies"] = {name: own[name] for name in own if name in jar}
            asked["headers"] = headers
        return asked

    def begin(self) -> None:
        """Forget how far the last dial got."""
        self._caller.begin()

    @property
    def stage(self) -> Progress:
        """How far the current dial has got."""
        return self._caller.stage

    @property
    def heard(self) -> Heard | None:
        """What a failed dial had received; ``None`` if the client is borrowed."""
        return self._caller.heard

    def _odd_answer(
        self, failure: Exception, endpoint: Endpoint, headers: list[tuple[str, str]]
    ) -> ConnectFailed | None:
        """Return the error for an unusable answer, ``None`` if none was received."""
        heard = self._caller.heard
        if heard is None:
            return None
        if isinstance(failure, Unanswered):
            failure = failure.failure
        return odd_answer(heard, failure, endpoint, headers)

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
            self._joined[way] = SharedClient.joined(way, connector)
        return self._joined[way].http

    async def close(self) -> None:
        """Leave the shared clients that were joined."""
        while self._joined:
            _, shared = self._joined.popitem()
            await shared.leave()


def _direct() -> aiohttp.BaseConnector:
    return _connector(vetted_socket)


def _proxied() -> aiohttp.BaseConnector:
    return _connector(None)


def _tunnel(
    proxy: Proxy,
    tls: ssl.SSLContext | bool,  # noqa: FBT001 - as aiohttp and connect() have it
) -> aiohttp.BaseConnector:
    if proxy.is_http:
        return HttpTunnel(proxy, tls, endpoint_at_hand)
    from resilient_ws.transport.socks import (  # noqa: PLC0415 - an extra, checked by connect()
        socks_tunnel,
    )

    return socks_tunnel(proxy, endpoint_at_hand, vet_at_hand)


def _connector(
    socket_factory: Callable[[Any], socket.socket] | None,
) -> aiohttp.TCPConnector:
    # No DNS cache: after a failover it would return the address that is down.
    return aiohttp.TCPConnector(
        limit=0,
        force_close=True,
        use_dns_cache=False,
        resolver=Names(),
        socket_factory=socket_factory,
    )


def chosen_proxy(endpoint: Endpoint, proxy: Proxy | None) -> Proxy | None:
    """Return the proxy for an endpoint, looking into the environment if told to."""
    if proxy is None or not proxy.from_environment:
        return proxy
    found = urllib.request.getproxies_environment()
    if found:
        bypass = excepted(found.get("no", ""), endpoint.host, endpoint.port)
    else:  # macOS and Windows keep proxies, and exceptions from them, in their settings
        found = urllib.request.getproxies()
        bypass = bool(urllib.request.proxy_bypass(endpoint.host))
    url = found.get("https" if endpoint.secure else "http") or found.get("all")
    if bypass or url is None:
        return None
    # Like curl, accept a proxy without a scheme from the environment.
    return parse_proxy(url if "://" in url else f"http://{url}")


def check_proxy(endpoint: Endpoint, proxy: Proxy | None, *, borrowed: bool) -> None:
    """Check that an endpoint can be reached through its proxy.

    Raises:
        ValueError: The URL has a zone, or needs a tunnel that cannot be made.
    """
    chosen = chosen_proxy(endpoint, proxy)
    if chosen is not None and endpoint.zone:
        raise ValueError(
            "url must not have a zone (%25) when a proxy dials it: the zone names an "
            "interface of this machine; leave proxy out."
        )
    if chosen is None or (chosen.is_http and endpoint.secure):
        return
    if borrowed:
        raise ValueError(
            "http cannot be combined with this proxy: SOCKS, and ws:// through any "
            "proxy, need a connector of their own; leave http out."
        )
    if chosen.is_socks and importlib.util.find_spec("aiohttp_socks") is None:
        raise ValueError(
            "proxy must be an http or https URL, unless the extra 'socks' is "
            "installed: pip install 'resilient-ws[socks]'."
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
