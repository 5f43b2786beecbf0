"""The arguments of ``connect()``, checked before anything starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Final, TypeAlias, TypeVar, cast

import attrs

from resilient_ws.connection import OnOpen
from resilient_ws.inbox import Inbox
from resilient_ws.limiter import ConnectLimiter
from resilient_ws.outbox.policy import Outbox
from resilient_ws.policy._validate import (
    check_positive,
    require,
    whole_number,
    wrong_type,
)
from resilient_ws.policy.access import Access
from resilient_ws.policy.backoff import Reconnect
from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.liveness import Liveness
from resilient_ws.policy.proxy import Proxy, parse_proxy
from resilient_ws.policy.timeouts import Timeouts
from resilient_ws.policy.url import Endpoint, parse_endpoint
from resilient_ws.protocol.deflate import Offer
from resilient_ws.protocol.handshake import Handshake
from resilient_ws.protocol.text import printable
from resilient_ws.transport.client import ClientSession, check_client, check_ssl
from resilient_ws.transport.proxy_choice import check_proxy, chosen_proxy


@attrs.frozen(kw_only=True)
class Attempt:
    """The argument of your callables for ``url`` and ``headers``.

    Attributes:
        number: The attempt's number, from 1, in this outage or since the session began.
        epoch: The epoch that the connection would have.
        because: The failure of the connection or attempt before; ``None`` at first.
        fresh: Whether the server refused the credentials given last time, so that you
            must not return a cached token again.
    """

    number: int
    epoch: int
    because: Exception | None = None
    fresh: bool = False


UrlCallable: TypeAlias = Callable[[Attempt], str | Awaitable[str]]
Headers: TypeAlias = Mapping[str, str]
HeadersCallable: TypeAlias = Callable[[Attempt], Headers | Awaitable[Headers]]

#: Characters that a session's name may have.
MAX_NAME: Final = 200

T = TypeVar("T")


@attrs.frozen(kw_only=True, repr=False)
class Settings:
    """The arguments of one session, parsed and validated."""

    #: The endpoints to fail over between, or the callable that returns one.
    endpoints: tuple[Endpoint, ...] | UrlCallable
    headers: tuple[tuple[str, str], ...] | HeadersCallable
    subprotocols: tuple[str, ...]
    origin: str | None
    #: The compression to offer, or ``None``.
    deflate: Offer | None
    ssl: SSLContext | bool
    proxy: Proxy | None
    http: ClientSession | None
    on_open: OnOpen | None
    wait_open: bool | float
    reconnect: Reconnect
    limiter: ConnectLimiter | None
    liveness: Liveness
    timeouts: Timeouts
    outbox: Outbox
    inbox: Inbox
    access: Access
    max_message_size: int | None
    #: The session's name, ``None`` to use its first endpoint.
    given_name: str | None

    @property
    def name(self) -> str:
        """The session's name in logs, events and ``repr``."""
        return self.where if self.given_name is None else self.given_name

    @property
    def where(self) -> str:
        """The first endpoint, without secrets."""
        if callable(self.endpoints):
            return "a URL per attempt"
        return self.endpoints[0].redacted

    def endpoint(self, url: str) -> Endpoint:
        """Parse and check a URL that was not known when the session was made."""
        borrowed = self.http is not None
        return check_endpoint(url, self.access, self.proxy, borrowed=borrowed)

    @property
    def members(self) -> int:
        """How many endpoints there are to fail over between."""
        return 1 if callable(self.endpoints) else len(self.endpoints)


def check_url(
    url: object, access: Access, proxy: Proxy | None, *, borrowed: bool
) -> tuple[Endpoint, ...] | UrlCallable:
    """Check the ``url`` argument."""
    if callable(url):
        return cast("UrlCallable", url)
    if isinstance(url, str):
        return (check_endpoint(url, access, proxy, borrowed=borrowed),)
    if isinstance(url, bytes | bytearray) or not isinstance(url, Sequence):
        right = "a str, a sequence of str, or a callable that takes an Attempt"
        raise wrong_type("url", right, url)
    urls = cast("Sequence[str]", url)
    if not urls:
        raise ValueError("url must name at least one endpoint, not an empty sequence.")
    return tuple(
        check_endpoint(item, access, proxy, borrowed=borrowed, name=f"url[{place}]")
        for place, item in enumerate(urls)
    )


def check_endpoint(
    url: str,
    access: Access,
    proxy: Proxy | None,
    *,
    borrowed: bool,
    name: str = "url",
) -> Endpoint:
    """Parse one URL and check it, before any packet is sent."""
    endpoint = parse_endpoint(url, name=name)
    access.check_endpoint(endpoint, proxied=chosen_proxy(endpoint, proxy) is not None)
    check_proxy(endpoint, proxy, borrowed=borrowed)
    return endpoint


def check_header_argument(
    headers: Headers | HeadersCallable | None,
) -> tuple[tuple[str, str], ...] | HeadersCallable:
    """Check the ``headers`` argument."""
    if headers is None:
        return ()
    if callable(headers):
        return headers
    return tuple(check_headers(headers))


#: The defaults. Policies hold no state, so all sessions can share one.
_ACCESS: Final = Access()
_RECONNECT: Final = Reconnect()
_LIVENESS: Final = Liveness()
_TIMEOUTS: Final = Timeouts()
_OUTBOX: Final = Outbox()
_INBOX: Final = Inbox()
_OFFER: Final = Offer()


def policy_or_default(value: T | None, default: T, name: str) -> T:
    """Return a policy, or the default one for ``None``."""
    if value is None:
        return default
    kind = type(default)
    require(value, kind, name, f"such as {kind.__name__}()")
    return value


def make_settings(
    url: str | UrlCallable | Sequence[str],
    *,
    access: Access | None,
    compression: object,
    headers: Headers | HeadersCallable | None,
    http: ClientSession | None,
    inbox: Inbox | None,
    limiter: ConnectLimiter | None,
    liveness: Liveness | None,
    max_message_size: int | None,
    name: str | None,
    on_open: OnOpen | None,
    origin: str | None,
    outbox: Outbox | None,
    proxy: str | None,
    reconnect: Reconnect | None,
    ssl: SSLContext | bool,
    subprotocols: Sequence[str],
    timeouts: Timeouts | None,
    wait_open: bool | float,
) -> Settings:
    """Check every argument of ``connect()``; nothing is started."""
    rules = policy_or_default(access, _ACCESS, "access")
    through = parse_proxy(proxy)
    check_client(http, allow_private=rules.allow_private)
    return Settings(
        endpoints=check_url(url, rules, through, borrowed=http is not None),
        headers=check_header_argument(headers),
        subprotocols=_checked_subprotocols(subprotocols, origin),
        origin=origin,
        deflate=_checked_compression(compression),
        ssl=check_ssl(ssl),
        proxy=through,
        http=http,
        on_open=_checked_hook(on_open),
        wait_open=_checked_wait(wait_open),
        reconnect=policy_or_default(reconnect, _RECONNECT, "reconnect"),
        limiter=_checked_limiter(limiter),
        liveness=policy_or_default(liveness, _LIVENESS, "liveness"),
        timeouts=policy_or_default(timeouts, _TIMEOUTS, "timeouts"),
        outbox=policy_or_default(outbox, _OUTBOX, "outbox"),
        inbox=policy_or_default(inbox, _INBOX, "inbox"),
        access=rules,
        max_message_size=_checked_size(max_message_size),
        given_name=_checked_name(name),
    )


def _checked_compression(value: object) -> Offer | None:
    if value is None:
        return None
    if value != "deflate":
        raise ValueError(f"compression must be 'deflate' or None, not {value!r}.")
    return _OFFER


def _checked_subprotocols(value: object, origin: str | None) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise wrong_type("subprotocols", "a sequence of str, such as ['mqtt']", value)
    subprotocols = tuple(cast("Sequence[str]", value))
    for place, name in enumerate(subprotocols):
        require(name, str, f"subprotocols[{place}]", "a str")
    if origin is not None:
        require(origin, str, "origin", "a str")
    # Handshake checks both arguments; this instance is not used for anything else.
    Handshake(subprotocols=subprotocols, origin=origin)
    return subprotocols


def _checked_hook(on_open: object) -> OnOpen | None:
    if on_open is not None and not callable(on_open):
        right = "an async function that takes a Connection"
        raise wrong_type("on_open", right, on_open)
    return cast("OnOpen | None", on_open)


def _checked_limiter(value: ConnectLimiter | None) -> ConnectLimiter | None:
    if value is not None:
        right = "a ConnectLimiter, such as ConnectLimiter(rate=5, per=1)"
        require(value, ConnectLimiter, "limiter", right)
    return value


def _checked_wait(value: bool | float) -> bool | float:  # noqa: FBT001 - the public argument
    if isinstance(value, bool):
        return value
    also = ", True (wait for ever) or False (enter at once)"
    check_positive("wait_open", value, also=also)
    return float(value)


def _checked_size(value: int | None) -> int | None:
    if value is not None:
        whole_number("max_message_size", value, at_least=1)
    return value


def _checked_name(value: str | None) -> str | None:
    if value is None:
        return None
    require(value, str, "name", "a str")
    if not value.strip() or len(value) > MAX_NAME or printable(value) != value:
        raise ValueError(
            f"name must be 1 to {MAX_NAME} printable characters on one line, "
            f"not {value[: MAX_NAME + 1]!r}; every log line shows the name."
        )
    return value
