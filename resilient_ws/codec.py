"""A session that speaks JSON, or typed messages.

::

    from resilient_ws import connect
    from resilient_ws.codec import Coded, of

    async with connect(url) as session:
        feed = Coded(session, of(Trade, Book))
        await feed.send(Subscribe(channel="trades"))
        async for item in feed:  # a Trade or a Book
            ...

Rules: nothing is lost in silence. A message that does not decode is raised, or yielded,
as ``Undecodable``, and the iteration may go on. Messages are taken from the session in
batches, which costs less; what is taken waits here, over cancellations as well, so the
session has no other consumer.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    overload,
)

import attrs

from resilient_ws import Interruption, Session, SessionClosed
from resilient_ws.feeds import Undecodable
from resilient_ws.feeds.json import guarded


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from typing import Self

    from resilient_ws import Connection, Delivery
    from resilient_ws.events import ConnectionEnd

__all__ = ["JSON", "Codec", "Coded", "CodedConnection", "Undecodable", "of"]

Message: TypeAlias = str | bytes
#: A tuple, for it is checked with each message: a union takes twice as long.
_MESSAGE: Final = (str, bytes)
T = TypeVar("T")
K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@attrs.frozen
class Codec(Generic[T]):
    """How objects become messages, and messages objects: two callables.

    Attributes:
        encode: Returns the message of an object: ``str`` goes as text.
        decode: Returns the object of a message, and raises anything where it cannot.
    """

    encode: Callable[[Any], Message] = attrs.field(
        validator=attrs.validators.is_callable()
    )
    decode: Callable[[Message], T] = attrs.field(
        validator=attrs.validators.is_callable()
    )

    def __attrs_post_init__(self) -> None:
        """Let no nesting of a message crash the decoder."""
        object.__setattr__(self, "decode", guarded(self.decode))

    def read(self, data: Message) -> T | Undecodable:
        """Return what a message holds, or why it cannot be decoded."""
        try:
            return self.decode(data)
        except Exception as because:  # noqa: BLE001 - whatever the callable raises
            kind = type(because).__name__
            return Undecodable(
                f"A message of {len(data)} characters or bytes could not be decoded "
                f"({kind}).",
                data=data,
                because=because.with_traceback(None),
            )


#: Plain JSON, by the standard library: objects of any kind. NaN and infinities are a
#: ``ValueError`` when they are encoded, because JSON has neither.
#: In ASCII: half of a surrogate pair could not be sent as UTF-8.
JSON: Codec[Any] = Codec(
    json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode, json.loads
)


@overload
def of(a: type[A], /) -> Codec[A]: ...
@overload
def of(a: type[A], b: type[B], /) -> Codec[A | B]: ...
@overload
def of(a: type[A], b: type[B], c: type[C], /) -> Codec[A | B | C]: ...
@overload
def of(a: type[A], b: type[B], c: type[C], d: type[D], /) -> Codec[A | B | C | D]: ...
@overload
def of(*kinds: object) -> Codec[Any]: ...
def of(*kinds: object) -> Codec[Any]:
    """Return a codec of typed messages in JSON: each message is one of these types.

    Where one of them is a pydantic model, pydantic decodes and checks them; otherwise
    msgspec does, which takes ``msgspec.Struct``, dataclasses, attrs classes, TypedDicts
    and ``Trade | Book``. msgspec tells the structs of a union apart by their tags.
    Both send NaN and infinities as ``null``; msgspec sends bytes as Base64.

    Raises:
        ImportError: The library is not installed.
        TypeError: It does not know what to do with a type; or there is none.
    """
    if not kinds:
        raise TypeError("of() needs a type, such as of(Trade).")
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    members = getattr(union, "__args__", None) or (union,)
    if any(hasattr(member, "__pydantic_validator__") for member in members):
        return _by_pydantic(union)
    return _by_msgspec(union)


def _by_pydantic(union: Any) -> Codec[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - an extra

    incoming: Any = TypeAdapter(union)
    # What is sent need not be one of these.
    outgoing: Any = TypeAdapter(Any)
    return Codec(lambda item: outgoing.dump_json(item).decode(), incoming.validate_json)


def _by_msgspec(union: Any) -> Codec[Any]:
    import msgspec  # noqa: PLC0415 - an extra

    encode = msgspec.json.Encoder().encode
    decode: Callable[[Message], Any] = msgspec.json.Decoder(union).decode
    return Codec(lambda item: encode(item).decode(), decode)


class Coded(Generic[T]):
    """A session seen through a codec.

    Args:
        session: The session; this is its one consumer from now on.
        codec: ``JSON``, ``of(...)``, or your own two callables in a ``Codec``.
        undecodable: ``"raise"`` raises a message that does not decode; iterating again
            goes on behind it. ``"yield"`` yields it in its place.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: ``undecodable`` is another word.
    """

    @overload
    def __init__(
        self: Coded[K],
        session: Session,
        codec: Codec[K],
        *,
        undecodable: Literal["raise"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Coded[K | Undecodable],
        session: Session,
        codec: Codec[K],
        *,
        undecodable: Literal["yield"],
    ) -> None: ...
    def __init__(
        self,
        session: Session,
        codec: Codec[Any],
        *,
        undecodable: Literal["raise", "yield"] = "raise",
    ) -> None:
        if not isinstance(session, Session):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("session must be what connect() returned.")
        if not isinstance(codec, Codec):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("codec must be a Codec, such as JSON or of(Trade).")
        if undecodable not in {"raise", "yield"}:
            raise ValueError("undecodable must be 'raise' or 'yield'.")
        self.session = session
        self.codec = codec
        self._raises = undecodable == "raise"
        # Taken from the session, in order, and not handed over yet.
        self._taken: deque[Message | Interruption | ConnectionEnd] = deque()

    async def send(
        self,
        item: object,
        *,
        ttl: float | None = None,
        message_id: str | None = None,
        only_if_open: bool = False,
        epoch: int | None = None,
        confirm: Literal["write"] | None = None,
    ) -> Delivery:
        """Encode an object, and send it as ``Session.send`` does, with its arguments.

        Raises:
            Exception: What ``encode`` raises, or ``Session.send``.

        Cancellation:
            Safe: a cancelled ``send`` was not accepted and is never transmitted.
        """
        return await self.session.send(
            self.codec.encode(item),
            ttl=ttl,
            message_id=message_id,
            only_if_open=only_if_open,
            epoch=epoch,
            confirm=confirm,
        )

    async def receive(self) -> T:
        """Return what the next message holds.

        Raises:
            SessionClosed: The session is closed, and every message was taken. What
                ended it otherwise is raised as ``Session.receive`` does.
            Undecodable: The message does not decode; the next call goes on behind it.

        Cancellation:
            Safe: no message is lost.
        """
        item: T = await self._item()
        return item

    def on_open(
        self, hook: Callable[[CodedConnection[T]], Awaitable[object]]
    ) -> Callable[[CodedConnection[T]], Awaitable[object]]:
        """Add a hook that gets each new connection, seen through the codec.

        Raises:
            RuntimeError: The session was entered or closed before.
        """

        async def coded(connection: Connection) -> None:
            await hook(CodedConnection(connection, self.codec))

        self.session.on_open(coded)
        return hook

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over what the messages hold, until the session ends.

        Raises:
            Undecodable: A message does not decode; iterating again goes on behind it.
            Exception: What ended the session, unless ``close`` did.

        Cancellation:
            Safe: no message is lost, and iterating may go on.
        """
        return Objects(self._item, self._taken, self.codec)

    def only(self, kind: type[K]) -> AsyncIterator[K]:
        """Iterate over the messages of one type; the others are passed over.

        What does not decode is raised here, whatever ``undecodable`` is.

        Raises:
            Undecodable: As for the iteration.
        """

        async def next_of_kind() -> K:
            while True:
                item = await self._item(raises=True)
                if isinstance(item, kind):
                    return item

        return Items(next_of_kind)

    @overload
    def with_interruptions(
        self, *, drops: Literal[False] = ...
    ) -> AsyncIterator[T | Interruption]: ...
    @overload
    def with_interruptions(
        self, *, drops: bool
    ) -> AsyncIterator[T | Interruption | ConnectionEnd]: ...
    def with_interruptions(
        self, *, drops: bool = False
    ) -> AsyncIterator[T | Interruption | ConnectionEnd]:
        """Iterate as ``async for`` does, and show where messages may be missing.

        Args:
            drops: Yield the end of each connection too, in its place.

        Raises:
            Undecodable: As for the iteration.
        """

        async def next_with_holes() -> T | Interruption | ConnectionEnd:
            while True:
                item = await self._next(interruptions=True)
                if isinstance(item, _MESSAGE):
                    decoded: T = self._read(item)
                    return decoded
                if drops or isinstance(item, Interruption):
                    return item

        return Items(next_with_holes)

    async def _item(self, *, raises: bool = False) -> Any:
        """Return what the next message holds, past the interruptions."""
        while True:
            item = await self._next(interruptions=False)
            if isinstance(item, _MESSAGE):
                return self._read(item, raises=raises)

    async def _next(
        self, *, interruptions: bool
    ) -> Message | Interruption | ConnectionEnd:
        """Return the next item of the session; take all that wait, if there is none."""
        while not self._taken:
            batch = await self.session.receive_many(interruptions=interruptions)
            # Nothing suspends between the taking and the keeping.
            if isinstance(batch, list):
                self._taken.extend(batch)
            else:
                self._taken.append(batch)
        return self._taken.popleft()

    def _read(self, data: Message, *, raises: bool = False) -> Any:
        item = self.codec.read(data)
        if isinstance(item, Undecodable) and (raises or self._raises):
            raise item
        return item


class CodedConnection(Generic[T]):
    """The ``Connection`` of ``on_open``, seen through a codec.

    Args:
        connection: What the hook got.
        codec: As for ``Coded``.
    """

    def __init__(self, connection: Connection, codec: Codec[T]) -> None:
        self.connection = connection
        self.codec = codec

    async def send(self, item: object) -> None:
        """Encode an object, and send it at once, as ``Connection.send`` does.

        Raises:
            Exception: What ``encode`` raises, or ``Connection.send``.

        Cancellation:
            Safe; the message of a cancelled ``send`` was not sent.
        """
        await self.connection.send(self.codec.encode(item))

    @overload
    async def receive(self, only: None = ...) -> T: ...
    @overload
    async def receive(self, only: type[K]) -> K: ...
    async def receive(self, only: type[K] | None = None) -> T | K:
        """Return the first message, or the first of one type.

        The others, and those that do not decode, stay in order for the session.

        Raises:
            Undecodable: The first message does not decode, and no type was given.

        Cancellation:
            Safe: no message is lost.
        """
        found: list[Any] = []

        def fits(data: Message) -> bool:
            item = self.codec.read(data)
            if only is not None and not isinstance(item, only):
                return False
            found.append(item)
            return True

        await self.connection.receive(matching=fits)
        item = found[-1]
        if isinstance(item, Undecodable):
            raise item
        return item  # type: ignore[no-any-return]


class Items(Generic[T]):
    """An iterator that can be cancelled, or raise, and be used again."""

    __slots__ = ("_next",)

    def __init__(self, next_item: Callable[[], Awaitable[T]]) -> None:
        self._next = next_item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._next()
        except SessionClosed as end:
            if end.failure is not None:
                raise
        raise StopAsyncIteration


class Objects(Items[T]):
    """Iterates over what the messages hold, with no more calls than it takes.

    Measured: 0.3 µs a message beyond the decoder, where ``Items`` takes 0.5.
    """

    __slots__ = ("_decode", "_taken")

    def __init__(
        self,
        next_item: Callable[[], Awaitable[T]],
        taken: deque[Message | Interruption | ConnectionEnd],
        codec: Codec[T],
    ) -> None:
        super().__init__(next_item)
        self._taken = taken
        self._decode = codec.decode

    async def __anext__(self) -> T:
        taken = self._taken
        if taken and isinstance(taken[0], _MESSAGE):
            try:
                item = self._decode(taken[0])
            except Exception:  # noqa: BLE001, S110 - decoded once more, to be told
                # Below, so that the decoder's text, which shows the message, is not
                # the context of what is raised.
                pass
            else:
                taken.popleft()
                return item
        return await super().__anext__()
