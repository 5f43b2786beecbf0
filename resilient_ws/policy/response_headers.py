"""The headers of the response that opened a connection, as the user sees them.

Rules: names are in lower case. The number and size of the headers kept are bounded, as
for a refusal. The user may read every value; ``repr`` shows only those of headers in
which a server has no reason to repeat a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from resilient_ws.policy.refusals import kept_headers


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


#: Headers in which a server has no reason to repeat a secret. The subprotocol is not
#: one of them: some clients put a token into it.
_TELLING: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "date",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-version",
        "server",
        "upgrade",
        "via",
    }
)


class ResponseHeaders(Mapping[str, str]):
    """The headers of the 101, by their names in lower case; ``repr`` hides secrets.

    Values of the same name are joined with a comma. Those of ``set-cookie`` are joined
    with a line break, because they may contain commas.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        joined: dict[str, str] = {}
        for name, value in headers:
            lower = name.lower()
            comma = "\n" if lower == "set-cookie" else ", "
            before = joined.get(lower)
            joined[lower] = value if before is None else f"{before}{comma}{value}"
        self._headers = kept_headers(joined.items(), left_out=frozenset())

    def __getitem__(self, name: str) -> str:
        """Return the value of a header, given its name in lower case."""
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._headers)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._headers)

    def __repr__(self) -> str:
        """Show all names, and only values that cannot be secret."""
        shown = {
            name: value if name in _TELLING else "***"
            for name, value in self._headers.items()
        }
        return repr(shown)
