"""What a server says to a login: waited for, and looked into with care."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from resilient_ws.feeds.errors import LoginRefused
from resilient_ws.feeds.json import is_object, object_in


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws import Connection


T = TypeVar("T")


async def answer(connection: Connection, field: str, *values: Any) -> dict[str, Any]:
    """Return the next object whose field has one of some values.

    What does not match stays for the channel. Dots in the field lead into objects.
    """
    path = field.split(".")
    message = await connection.receive(
        lambda message: _at(object_in(message), path) in values
    )
    return object_in(message)


def part(data: Any, kind: type[T], *path: str) -> T:
    """Return a part of an object.

    Raises:
        LoginRefused: There is none, or it is of another kind.
    """
    found = _at(data, path)
    if not isinstance(found, kind) or isinstance(found, bool):
        text = f"The server's answer to the login lacks {'.'.join(path)}."
        raise LoginRefused(text)
    return found


def object_part(data: Any, *path: str) -> dict[str, Any]:
    """Return a part of an object that is an object.

    Raises:
        LoginRefused: There is none, or it is of another kind.
    """
    return cast("dict[str, Any]", part(data, dict, *path))


def _at(data: Any, path: Sequence[str]) -> Any:
    for name in path:
        data = data.get(name) if is_object(data) else None
    return data
