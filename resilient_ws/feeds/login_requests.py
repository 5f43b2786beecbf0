"""A login by requests like any other, whose answers the protocol itself finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from resilient_ws import Fatal
from resilient_ws.feeds.errors import LoginRefused, RequestRefused, Unreadable
from resilient_ws.feeds.protocol import Answer, Reply


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws import Connection
    from resilient_ws.feeds.protocol import Left, Route
    from resilient_ws.protocol.message import Message


#: What may come before the answer to a login.
MAX_LEFT: Final = 1000


async def log_in(
    connection: Connection,
    route: Callable[[Message], Route | Sequence[Route]],
    id: Any,
    message: Message,
) -> tuple[Any, list[Left]]:
    """Send a request of a login, and return the value of its ``Reply``.

    For a protocol whose login is a request with an answer, and for one whose messages
    hold several frames, or parts of them. What the server asks meanwhile, such as a
    ping, is answered.

    Args:
        connection: The connection, as ``login`` gets it.
        route: The protocol's ``route``.
        id: What the reply will name.
        message: The request.

    Returns:
        The value, and what ``login`` returns: all else that came, in order.

    Raises:
        Fatal: The server refused, and not only for now.
        LoginRefused: It refused for now, or what it sends makes no sense.

    Cancellation:
        The login is given up.
    """
    await connection.send(message)
    left: list[Left] = []
    while len(left) < MAX_LEFT:
        came = await connection.receive()
        try:
            found = _listed(route(came))
        except Unreadable as failure:
            raise LoginRefused(f"The answer to the login: {failure}") from None
        except Exception:  # noqa: BLE001 - a peer's message: it is counted later
            left.append(came)
            continue
        while found:
            one = found.pop(0)
            if isinstance(one, Reply) and one.id == id:
                return _value_of(one), [*left, *found]
            if isinstance(one, Answer) and isinstance(one.message, str | bytes):
                await connection.send(one.message)
            else:
                left.append(one)
    raise LoginRefused("The server sent much, and no answer to the login.")


def _listed(routes: Route | Sequence[Route]) -> list[Route]:
    return list(routes) if isinstance(routes, Sequence) else [routes]


def _value_of(reply: Reply) -> Any:
    error = reply.error
    if error is None:
        return reply.value
    lasts = isinstance(error, RequestRefused) and not error.temporary
    raise (Fatal if lasts else LoginRefused)(str(error))
