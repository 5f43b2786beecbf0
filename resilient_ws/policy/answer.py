"""The headers of an answer that opened a connection, as its user may see them.

Rules: names are in lower case; of headers without end a bounded part is kept,
as of a refusal. A user may read all of that; what is printed shows the values of those
headers only in which a server has no reason to repeat a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from resilient_ws.policy.refusals import kept_headers


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


#: What a server has no reason to repeat a secret in. A subprotocol may be a login.
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


class AnswerHeaders(Mapping[str, str]):
    """The headers of the 101, by their names in lower case; ``repr`` hides secrets.

    The values of one name are joined with a comma, those of ``set-cookie``, which may
    hold commas, with a line break.
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
        """Return the value of a header; names are in lower case."""
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._headers)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._headers)

    def __repr__(self) -> str:
        """Show the headers, but nothing that may be a secret."""
        shown = {
            name: value if name in _TELLING else "***"
            for name, value in self._headers.items()
        }
        return repr(shown)
