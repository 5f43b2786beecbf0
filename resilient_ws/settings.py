"""The arguments of ``connect()``, checked before anything starts."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs
from attrs.validators import optional

from resilient_ws.connection import Connection, OnOpen
from resilient_ws.inbox import Inbox
from resilient_ws.limiter import ConnectLimiter
from resilient_ws.outbox.policy import Outbox
from resilient_ws.policy._validate import (
    check_positive,
    require,
    seconds,
    whole_number,
    wrong_type,
)
from resilient_ws.policy.access import Access
from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.liveness import Liveness
from resilient_ws.policy.proxy import Proxy, parse_proxy
from resilient_ws.policy.reconnect import Reconnect
from resilient_ws.policy.timeouts import Timeouts
from resilient_ws.policy.url import Endpoint, parse_endpoint
from resilient_ws.protocol.deflate import Offer
from resilient_ws.protocol.handshake import Handshake
from resilient_ws.protocol.text import printable
from resilient_ws.traffic import Tap
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

# Converters. Each takes what the user wrote, and its errors name the argument.


def _endpoints(url: object) -> tuple[Endpoint, ...] | UrlCallable:
    if callable(url):
        return cast("UrlCallable", url)
    if isinstance(url, str):
        return (parse_endpoint(url),)
    if isinstance(url, bytes | bytearray) or not isinstance(url, Sequence):
        right = "a str, a sequence of str, or a callable that takes an Attempt"
        raise wrong_type("url", right, url)
    urls = cast("Sequence[str]", url)
    if not urls:
        raise ValueError("url must name at least one endpoint, not an empty sequence.")
    return tuple(
        parse_endpoint(item, name=f"url[{place}]") for place, item in enumerate(urls)
    )


def _headers(
    headers: Headers | HeadersCallable | None,
) -> tuple[tuple[str, str], ...] | HeadersCallable:
    if headers is None:
        return ()
    return headers if callable(headers) else tuple(check_headers(headers))


def _subprotocols(value: object) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise wrong_type("subprotocols", "a sequence of str, such as ['mqtt']", value)
    subprotocols = tuple(cast("Sequence[str]", value))
    for place, name in enumerate(subprotocols):
        require(name, str, f"subprotocols[{place}]", "a str")
    return subprotocols


#: Shared by all sessions that offer compression.
_OFFER: Final = Offer()


def _offer(compression: object) -> Offer | None:
    if compression is None:
        return None
    if compression != "deflate":
        raise ValueError(f"compression must be 'deflate' or None, not {compression!r}.")
    return _OFFER


def _policy(name: str, kind: type[T]) -> dict[str, Any]:
    """Return the arguments of ``attrs.field`` for a policy, which may be left out."""
    # A policy holds no state, so all sessions can share one.
    default = kind()

    def convert(value: T | None) -> T:
        if value is None:
            return default
        require(value, kind, name, f"such as {kind.__name__}()")
        return value

    # A dictionary, because mypy takes no closure as a converter.
    return {"converter": convert}


# Validators. ``attribute.name`` is the name of the argument.


def _is_origin(_: Settings, attribute: attrs.Attribute[Any], value: object) -> None:
    require(value, str, attribute.name, "a str")


def _is_wait(_: Settings, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        also = ", True (wait for ever) or False (enter at once)"
        check_positive(attribute.name, value, also=also)


def _is_hook(_: Settings, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        right = "an async function that takes a Connection"
        raise wrong_type(attribute.name, right, value)


def _is_limiter(_: Settings, attribute: attrs.Attribute[Any], value: object) -> None:
    right = "a ConnectLimiter, such as ConnectLimiter(rate=5, per=1)"
    require(value, ConnectLimiter, attribute.name, right)


def _is_size(_: Settings, attribute: attrs.Attribute[Any], value: object) -> None:
    whole_number(attribute.name, value, at_least=1)


def _is_name(_: Settings, __: attrs.Attribute[Any], value: str) -> None:
    require(value, str, "name", "a str")
    if not value.strip() or len(value) > MAX_NAME or printable(value) != value:
        raise ValueError(
            f"name must be 1 to {MAX_NAME} printable characters on one line, "
            f"not {value[: MAX_NAME + 1]!r}; every log line shows the name."
        )


@attrs.frozen(kw_only=True, repr=False)
class Settings:
    """The arguments of ``connect()``, parsed and checked; its docstring explains them.

    It takes each argument by its name in ``connect()``, also where the field has
    another name for what became of it.
    """

    access: Access = attrs.field(**_policy("access", Access))
    proxy: Proxy | None = attrs.field(converter=parse_proxy)
    http: ClientSession | None
    #: The endpoints to fail over between, or the callable that returns one.
    endpoints: tuple[Endpoint, ...] | UrlCallable = attrs.field(
        alias="url", converter=_endpoints
    )
    headers: tuple[tuple[str, str], ...] | HeadersCallable = attrs.field(
        converter=_headers
    )
    subprotocols: tuple[str, ...] = attrs.field(converter=_subprotocols)
    origin: str | None = attrs.field(validator=optional(_is_origin))
    #: The compression to offer, or ``None``.
    deflate: Offer | None = attrs.field(alias="compression", converter=_offer)
    ssl: SSLContext | bool = attrs.field(converter=check_ssl)
    on_open: OnOpen | None = attrs.field(validator=optional(_is_hook))
    wait_open: bool | float = attrs.field(converter=seconds, validator=_is_wait)
    reconnect: Reconnect = attrs.field(**_policy("reconnect", Reconnect))
    limiter: ConnectLimiter | None = attrs.field(validator=optional(_is_limiter))
    liveness: Liveness = attrs.field(**_policy("liveness", Liveness))
    timeouts: Timeouts = attrs.field(**_policy("timeouts", Timeouts))
    outbox: Outbox = attrs.field(**_policy("outbox", Outbox))
    inbox: Inbox = attrs.field(**_policy("inbox", Inbox))
    max_message_size: int | None = attrs.field(validator=optional(_is_size))
    #: The name that the user chose for the session, ``None`` to use its first endpoint.
    chosen_name: str | None = attrs.field(alias="name", validator=optional(_is_name))

    #: The callables that see what passes. ``connect()`` has no argument for them.
    taps: tuple[Tap, ...] = attrs.field(init=False, default=())

    def __attrs_post_init__(self) -> None:
        """Check what depends on several arguments, before any packet is sent."""
        check_client(self.http, allow_private=self.access.allow_private)
        if not callable(self.endpoints):
            for endpoint in self.endpoints:
                self._check_endpoint(endpoint)
        # The handshake checks both. This one is not used otherwise and needs no key.
        Handshake(subprotocols=self.subprotocols, origin=self.origin, entropy=bytes)

    def _check_endpoint(self, endpoint: Endpoint) -> None:
        """Refuse an endpoint that ``access`` forbids or the proxy cannot reach."""
        proxied = chosen_proxy(endpoint, self.proxy) is not None
        self.access.check_endpoint(endpoint, proxied=proxied)
        check_proxy(endpoint, self.proxy, borrowed=self.http is not None)

    def endpoint(self, url: str) -> Endpoint:
        """Parse and check a URL that was not known when the session was made."""
        endpoint = parse_endpoint(url)
        self._check_endpoint(endpoint)
        return endpoint

    def with_hook(self, hook: OnOpen) -> Settings:
        """Return the same settings with a hook that runs after ``on_open``."""
        first = self.on_open

        async def both(connection: Connection) -> None:
            if first is not None:
                await first(connection)
            await hook(connection)

        # Not ``evolve``, which would convert what was converted before.
        changed = copy.copy(self)
        object.__setattr__(changed, "on_open", both)
        return changed

    def with_tap(self, tap: Tap) -> Settings:
        """Return the same settings with one more tap."""
        changed = copy.copy(self)
        object.__setattr__(changed, "taps", (*self.taps, tap))
        return changed

    @property
    def name(self) -> str:
        """The session's name in logs, events and ``repr``."""
        return self.where if self.chosen_name is None else self.chosen_name

    @property
    def where(self) -> str:
        """The first endpoint, without secrets."""
        if callable(self.endpoints):
            return "a URL per attempt"
        return self.endpoints[0].redacted

    @property
    def members(self) -> int:
        """How many endpoints there are to fail over between."""
        return 1 if callable(self.endpoints) else len(self.endpoints)
