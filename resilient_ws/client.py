"""Define ``connect()``, the function that users call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.policy.tracebacks import NoFrames
from resilient_ws.session import Session
from resilient_ws.settings import Settings


if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Sequence
    from typing import Literal

    from resilient_ws.connection import OnOpen
    from resilient_ws.inbox import Inbox
    from resilient_ws.limiter import ConnectLimiter
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.policy.access import Access
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.policy.reconnect import Reconnect
    from resilient_ws.policy.timeouts import Timeouts
    from resilient_ws.settings import Headers, HeadersCallable, UrlCallable
    from resilient_ws.transport.client import ClientSession


def connect(
    url: str | Sequence[str] | UrlCallable,
    *,
    headers: Headers | HeadersCallable | None = None,
    subprotocols: Sequence[str] = (),
    origin: str | None = None,
    compression: Literal["deflate"] | None = "deflate",
    ssl: ssl_module.SSLContext | Literal[True] = True,
    proxy: str | None = None,
    http: ClientSession | None = None,
    on_open: OnOpen | None = None,
    wait_open: bool | float = 60.0,
    reconnect: Reconnect | None = None,
    limiter: ConnectLimiter | None = None,
    liveness: Liveness | None = None,
    timeouts: Timeouts | None = None,
    outbox: Outbox | None = None,
    inbox: Inbox | None = None,
    access: Access | None = None,
    max_message_size: int | None = 4 * 1024 * 1024,
    name: str | None = None,
) -> Session:
    """Return a session with a WebSocket server that outlives its connections.

    Use it as ``async with connect(...) as session``; nothing runs before.

    Args:
        url: ``wss://`` or ``ws://`` (``ws`` only to this machine, unless ``access``
            allows more); or several, to fail over between; or a callable, sync or
            async, that takes an ``Attempt`` and returns one, for a fresh URL or token
            with each attempt. Path and query are sent byte for byte; host names are
            encoded by IDNA 2008.
        headers: Sent with the handshake; or a callable, sync or async, that takes an
            ``Attempt`` and returns them. The session adds the cookies that the server
            set to your own ``Cookie``; yours win where both have a name. It keeps them
            until it ends and sends them only to the host (a name or an address) that
            set them, at any port (RFC 6265).
        subprotocols: Offered to the server, best first (RFC 6455 §1.9).
        origin: The Origin header, for servers that ask for it.
        compression: ``"deflate"`` (default) offers permessage-deflate (RFC 7692); where
            the server agrees, messages of 256 bytes and more are sent compressed.
            ``None`` does not offer it.
        ssl: A context for ``wss://``; by default the system's trusted issuers.
        proxy: An ``http``, ``https``, ``socks4``, ``socks5`` or ``socks5h`` URL, or
            ``"env"`` to read the environment, which is not read otherwise. SOCKS
            needs the extra ``socks``. ``NO_PROXY`` may list domains (with all their
            subdomains), addresses and networks, each with or without a port, or ``*``.
        http: Your own ``aiohttp.ClientSession`` to dial with; it is never closed, and
            its headers, cookies and authorization are sent along. Its own settings
            then decide how large a response may be and how names are resolved.
        on_open: ``async`` hook that gets each new ``Connection`` before anything else
            may use it: authenticate and subscribe here. If it raises, the attempt has
            failed; if it raises ``Fatal``, the session ends.
        wait_open: Seconds that entering waits for the first open connection (default
            60) before it raises the last error; ``True`` waits for ever; ``False``
            enters at once, offline.
        reconnect: When to dial again, and when to give up: ``Reconnect()``.
        limiter: A limit on dials that sessions share: ``ConnectLimiter(rate, per)``.
        liveness: How a dead link is noticed: ``Liveness()``.
        timeouts: Seconds for opening, restoring, closing: ``Timeouts()``.
        outbox: How messages wait until they can be sent: ``Outbox()``.
        inbox: How messages wait until you read them: ``Inbox()``.
        access: Where the session may connect to: ``Access()``.
        max_message_size: Bytes of the largest message accepted (default 4 MiB);
            ``None`` for no limit. A larger one ends the connection with 1009.
        name: What logs, events and ``repr`` call this session; by default its first
            endpoint, without secrets.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is wrong; the message says which, and what is allowed.
        SecurityError: ``access`` does not allow the URL.
    """
    with NoFrames():
        # locals() are the arguments: Settings has a field for each of them.
        return Session(Settings(**locals()))
