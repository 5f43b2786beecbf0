"""Where the next connection goes: where the user said, or where the server did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from resilient_ws.errors import ConnectionLost, Fatal


if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from resilient_ws.settings import Attempt


#: Dials of the server's URL that fail, or connections to it that are of no use, before
#: the user's URL is dialled again.
MAX_VAIN: Final = 3


class NextURL:
    """The ``url`` for ``connect`` of a protocol whose server names the next one.

    It also sees why connections end: a close code may mean that no login will succeed,
    or that the server has forgotten the client.

    Args:
        url: Where the user said.
        fatal: Close codes that end the session.
        forgotten: Close codes after which the server's URL is of no use.
        on_forgotten: Called after one of them.

    Attributes:
        follows: Whether the newest dial went where the server said.
        vain: Connections since the last that was of use; the newest counts, too.
    """

    def __init__(
        self,
        url: str,
        fatal: Collection[int] = (),
        forgotten: Collection[int] = (),
        *,
        on_forgotten: Callable[[], object] | None = None,
    ) -> None:
        self._url = url
        self._fatal = fatal
        self._forgotten = forgotten
        self._on_forgotten = on_forgotten
        # Dials since the last one that reached the server.
        self._dials = 0
        self._asked = False
        self._next: str | None = None
        self.follows = False
        self.vain = 0

    def __call__(self, attempt: Attempt) -> str:
        """Return where to dial.

        Raises:
            Fatal: The server closed the last connection, and says that it is for good.
        """
        lost = attempt.because
        close = lost.close if isinstance(lost, ConnectionLost) else None
        code = None if close is None else close.code
        if code in self._fatal:
            text = f"The server closed with code {code}, and will not let us in again."
            raise Fatal(text)
        if code in self._forgotten:
            self._next = None
            if self._on_forgotten is not None:
                self._on_forgotten()
        self._asked = True
        self._dials += 1
        hopeful = self._dials <= MAX_VAIN and self.vain < MAX_VAIN
        self.follows = self._next is not None and hopeful
        return self._next if self._next and hopeful else self._url

    def reached(self) -> None:
        """Take note of a connection.

        Raises:
            Fatal: The session does not ask where to dial.
        """
        if not self._asked:
            raise Fatal("Dial where the protocol says: connect(protocol.url).")
        self._dials = 0
        self.vain += 1

    def worked(self) -> None:
        """Take note that the connection is of use."""
        self.vain = 0

    def follow(self, url: Any, *, with_query: bool = False) -> None:
        """Dial a URL of the server from now on.

        It must be as secure as the user's. Whether the session may dial it, ``access``
        decides.

        Args:
            url: What the server sent; the user's URL is dialled if it is none.
            with_query: Whether it gets the query of the user's.
        """
        self._next = _safe(url, self._url)
        self._dials = self.vain = 0
        if self._next is not None and with_query:
            query = urlsplit(self._url).query
            parts = urlsplit(self._next)
            self._next = urlunsplit(parts._replace(path=parts.path or "/", query=query))


def _safe(url: Any, base: str) -> str | None:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    clean = named and "@" not in parts.netloc and not parts.fragment and " " not in url
    return url if clean and parts.scheme == urlsplit(base).scheme else None
