"""What ``connect()`` was given, checked before anything starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from resilient_ws.inbox import Inbox
from resilient_ws.outbox.queue import Outbox
from resilient_ws.policy.access import Access
from resilient_ws.policy.backoff import Reconnect
from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.liveness import Liveness
from resilient_ws.policy.proxy import Proxy, parse_proxy
from resilient_ws.policy.timeouts import Timeouts
from resilient_ws.policy.url import Endpoint, parse_endpoint
from resilient_ws.protocol.handshake import Handshake
from resilient_ws.transport.client import check_client, check_ssl, needs_extra


if TYPE_CHECKING:
    import ssl

    import aiohttp

    from resilient_ws.restore import Connection


@attrs.frozen(kw_only=True)
class Attempt:
    """What your callables for ``url`` and ``headers`` are told.

    Attributes:
        number: 1 for the first attempt of an outage, or of the session.
        epoch: The epoch that the connection would have.
        because: What ended the connection or attempt before; ``None`` at first.
        fresh: Whether the server refused the credentials given last time, so that a
            cached token must not be given again.
    """

    number: int
    epoch: int
    because: Exception | None = None
    fresh: bool = False


UrlCallable: TypeAlias = Callable[[Attempt], str | Awaitable[str]]
Headers: TypeAlias = Mapping[str, str]
HeadersCallable: TypeAlias = Callable[[Attempt], Headers | Awaitable[Headers]]
OnOpen: TypeAlias = "Callable[[Connection], Awaitable[object]]"

DEFAULT_MAX_MESSAGE_SIZE: Final = 4 * 1024 * 1024


@attrs.frozen(kw_only=True, repr=False)
class Settings:
    """The arguments of one session, parsed and found good."""

    #: The endpoints to fail over between, or the callable that names one.
    endpoints: tuple[Endpoint, ...] | UrlCallable
    headers: tuple[tuple[str, str], ...] | HeadersCallable
    subprotocols: tuple[str, ...]
    origin: str | None
    ssl: ssl.SSLContext | bool
    proxy: Proxy | None
    http: aiohttp.ClientSession | None
    on_open: OnOpen | None
    wait_open: bool | float
    reconnect: Reconnect
    liveness: Liveness
    timeouts: Timeouts
    outbox: Outbox
    inbox: Inbox
    access: Access
    max_message_size: int | None

    @property
    def where(self) -> str:
        """The first endpoint, without secrets."""
        if isinstance(self.endpoints, tuple):
            return self.endpoints[0].redacted
        return "a URL per attempt"

    @property
    def members(self) -> int:
        """How many endpoints there are to fail over between."""
        return len(self.endpoints) if isinstance(self.endpoints, tuple) else 1


def check_url(
    url: str | UrlCallable | Sequence[str], access: Access, proxy: Proxy | None
) -> tuple[Endpoint, ...] | UrlCallable:
    """Check the ``url`` argument."""
    if isinstance(url, str):
        return (check_endpoint(url, access, proxy),)
    if callable(url):
        return url
    if not isinstance(url, Sequence) or isinstance(url, bytes | bytearray):
        msg = (
            "url must be a str, a sequence of str, or a callable that takes an Attempt "
            f"and returns a str, not {type(url).__name__}"
        )
        raise TypeError(msg)
    if not url:
        msg = "url must name at least one endpoint, not an empty sequence"
        raise ValueError(msg)
    return tuple(
        check_endpoint(item, access, proxy, name=f"url[{place}]")
        for place, item in enumerate(url)
    )


def check_endpoint(
    url: str, access: Access, proxy: Proxy | None, *, name: str = "url"
) -> Endpoint:
    """Parse one URL and vet it, before any packet."""
    endpoint = parse_endpoint(url, name=name)
    proxied = proxy is not None and not proxy.from_environment
    access.check_endpoint(endpoint, proxied=proxied)
    if needs_extra(endpoint, proxy):
        msg = (
            "proxy must be an http or https proxy with a wss:// URL, unless the extra "
            "'socks' is installed: pip install 'resilient-ws[socks]' (SOCKS, and ws:// "
            "through any proxy, need it)"
        )
        raise ValueError(msg)
    return endpoint


def checked_headers(
    headers: Headers | HeadersCallable | None,
) -> tuple[tuple[str, str], ...] | HeadersCallable:
    """Check the ``headers`` argument."""
    if headers is None:
        return ()
    if callable(headers):
        return headers
    return tuple(check_headers(headers))


T = TypeVar("T")


def instance(value: T | None, kind: type[T], name: str) -> T:
    """Return a policy, or the default one for ``None``."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        msg = (
            f"{name} must be a {kind.__name__}, such as {kind.__name__}(), not "
            f"{type(value).__name__}"
        )
        raise TypeError(msg)
    return value


def make_settings(
    url: str | UrlCallable | Sequence[str],
    *,
    access: Access | None,
    compression: object,
    headers: Headers | HeadersCallable | None,
    http: aiohttp.ClientSession | None,
    inbox: Inbox | None,
    liveness: Liveness | None,
    max_message_size: int | None,
    on_open: OnOpen | None,
    origin: str | None,
    outbox: Outbox | None,
    proxy: str | None,
    reconnect: Reconnect | None,
    ssl: ssl.SSLContext | bool,
    subprotocols: Sequence[str],
    timeouts: Timeouts | None,
    wait_open: bool | float,
) -> Settings:
    """Check every argument of ``connect()``; nothing is started."""
    rules = instance(access, Access, "access")
    through = parse_proxy(proxy)
    _check_compression(compression)
    check_client(http, allow_private=rules.allow_private)
    return Settings(
        endpoints=check_url(url, rules, through),
        headers=checked_headers(headers),
        subprotocols=_checked_subprotocols(subprotocols, origin),
        origin=origin,
        ssl=check_ssl(ssl),
        proxy=through,
        http=http,
        on_open=_checked_hook(on_open),
        wait_open=_checked_wait(wait_open),
        reconnect=instance(reconnect, Reconnect, "reconnect"),
        liveness=instance(liveness, Liveness, "liveness"),
        timeouts=instance(timeouts, Timeouts, "timeouts"),
        outbox=instance(outbox, Outbox, "outbox"),
        inbox=instance(inbox, Inbox, "inbox"),
        access=rules,
        max_message_size=_checked_size(max_message_size),
    )


def _check_compression(value: object) -> None:
    if value not in ("deflate", None):
        msg = f"compression must be 'deflate' or None, not {value!r}"
        raise ValueError(msg)


def _checked_subprotocols(
    subprotocols: Sequence[str], origin: str | None
) -> tuple[str, ...]:
    if isinstance(subprotocols, str | bytes) or not isinstance(subprotocols, Sequence):
        msg = "subprotocols must be a sequence of str, such as ['mqtt']"
        raise TypeError(msg)
    # A handshake checks both; the one made here is thrown away.
    Handshake(subprotocols=subprotocols, origin=origin)
    return tuple(subprotocols)


def _checked_hook(on_open: Any) -> Any:  # noqa: ANN401 - checked, then typed by the caller
    if on_open is not None and not callable(on_open):
        msg = f"on_open must be an async function, not {type(on_open).__name__}"
        raise TypeError(msg)
    return on_open


def _checked_wait(value: bool | float) -> bool | float:  # noqa: FBT001 - the public argument
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        msg = f"wait_open must be True, False or seconds, not {type(value).__name__}"
        raise TypeError(msg)
    if not 0 < value < float("inf"):
        msg = (
            f"wait_open must be a positive number of seconds, not {value!r}; True waits "
            "for ever, False does not wait"
        )
        raise ValueError(msg)
    return float(value)


def _checked_size(value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        msg = f"max_message_size must be a number of bytes or None, not {value!r}"
        raise TypeError(msg)
    if value is not None and value <= 0:
        msg = f"max_message_size must be positive, not {value}; None means no limit"
        raise ValueError(msg)
    return value
