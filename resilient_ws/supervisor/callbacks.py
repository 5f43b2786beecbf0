"""The callbacks that the user has registered for events."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from resilient_ws.events import Event, MessageReceived


if TYPE_CHECKING:
    from collections.abc import Sequence


#: A callback, synchronous or not, for one class of event.
Callback: TypeAlias = Callable[[Any], Awaitable[object] | object]


@attrs.frozen
class Registration:
    """A callback and the context it was registered in."""

    callback: Callback
    context: contextvars.Context

    @property
    def name(self) -> str:
        """What logs and ``HandlerFailed`` call the callback."""
        return getattr(self.callback, "__qualname__", None) or repr(self.callback)


class Callbacks:
    """The callbacks of one session, by class of event."""

    __slots__ = ("_registered",)

    def __init__(self) -> None:
        self._registered: dict[type[Event], list[Registration]] = {}

    def register(self, kind: type[Event], callback: Callback) -> None:
        """Have ``callback`` run for each event of this class.

        Callbacks for ``Event`` run for every class but ``MessageReceived``.
        """
        registration = Registration(callback, contextvars.copy_context())
        self._registered.setdefault(kind, []).append(registration)

    def remove(self, kind: type[Event], callback: Callback) -> None:
        """Forget the registration of ``callback`` for this class, if there is one."""
        registered = self._registered.get(kind, [])
        for registration in registered:
            if registration.callback == callback:
                registered.remove(registration)
                break
        if not registered:
            self._registered.pop(kind, None)

    def __bool__(self) -> bool:
        """Whether any callback is registered."""
        return bool(self._registered)

    @property
    def consumes(self) -> bool:
        """Whether a callback consumes the messages."""
        return MessageReceived in self._registered

    def wants(self, kind: type[Event]) -> bool:
        """Whether any callback would run for this class of event."""
        return kind in self._registered or Event in self._registered

    def wanting(self, kind: type[Event]) -> Sequence[Registration]:
        """Return the callbacks to run for this class of event, in order."""
        wanted = self._registered.get(kind, [])
        if kind is MessageReceived:
            return wanted
        return [*wanted, *self._registered.get(Event, ())]
