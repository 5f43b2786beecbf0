"""How feeds read and write JSON: msgspec where it is installed, else ``json``.

Numbers are exact: integers of any length stay integers. orjson is not used by itself,
because it turns integers beyond 64 bits into floats. Pass ``loads=`` to choose it, or
to have ``Decimal``.

JSON has neither NaN, nor infinities, nor bytes. Both encoders write the first two as
``null``, and bytes as Base64, because msgspec does, and has no option to refuse them.
To look at each value beforehand would cost a call with thousands of them more than all
the rest of it.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeGuard, cast


Loads: TypeAlias = Callable[[str | bytes], Any]
#: JSON-RPC servers expect text messages, so an encoder returns a ``str``.
Dumps: TypeAlias = Callable[[Any], str | bytes]
#: The highest recursion limit under which a message is decoded: the stack of a thread
#: can hold twice as many levels.
MAX_DEPTH: Final = 10_000
_BINARY: Final = (bytes, bytearray, memoryview)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is an array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded value is an object."""
    return isinstance(value, dict)


def _is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def object_in(message: str | bytes) -> dict[str, Any]:
    """Return the object that a message is, or an empty one if it is anything else.

    For what waits for one message among others, and must not fail because of them.
    """
    try:
        value = loads(message)
    except Exception:  # noqa: BLE001 - decoders differ, and RecursionError is among them
        return {}
    return value if is_object(value) else {}


def _chosen() -> tuple[Loads, Dumps]:
    """Return the fastest decoder that is installed, and its encoder."""
    try:
        import msgspec  # noqa: PLC0415 - an extra
    except ImportError:
        return json.loads, _dumps
    encode = msgspec.json.Encoder().encode
    return msgspec.json.Decoder().decode, lambda value: encode(value).decode()


def guarded(decode: Loads) -> Loads:
    """Return a decoder that no nesting can crash, whatever the recursion limit is.

    Before Python 3.12, nothing but that limit keeps a decoder from overrunning the
    stack of C, and some libraries raise it far beyond what the stack can hold:
    importing web3 sets it to 100,000, by way of py_ecc.
    """
    if sys.version_info >= (3, 12):
        return decode

    def guarded_decode(message: str | bytes) -> Any:
        limit = sys.getrecursionlimit()
        if limit <= MAX_DEPTH:
            return decode(message)
        sys.setrecursionlimit(MAX_DEPTH)
        try:
            return decode(message)
        finally:
            sys.setrecursionlimit(limit)

    return guarded_decode


def _binary(value: object) -> str:
    """Return what msgspec writes for binary data.

    Raises:
        TypeError: It is anything else that JSON cannot express.
    """
    if isinstance(value, _BINARY):
        return base64.b64encode(cast("bytes", value)).decode()
    raise TypeError(f"JSON has no value of type {type(value).__name__}.")


#: In ASCII: a half of a surrogate pair could not be sent as UTF-8.
_encode: Final = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, default=_binary
).encode


def _dumps(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:
        return _encode(_without_nan(value))


def _without_nan(value: Any) -> Any:
    """Return a value with None in place of each NaN and each infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_object(value):
        return {key: _without_nan(one) for key, one in value.items()}
    if is_array(value) or _is_tuple(value):
        return [_without_nan(one) for one in value]
    return value


_loads_and_dumps: Final = _chosen()
loads: Final = guarded(_loads_and_dumps[0])
dumps: Final = _loads_and_dumps[1]


def value_in(message: str | bytes) -> list[Any]:
    """Return the value that a message is."""
    return [loads(message)]


def values_by_line(message: str | bytes) -> list[Any]:
    """Return the values of a message that has one in each line."""
    text = message if isinstance(message, str) else message.decode()
    return [loads(line) for line in text.strip().split("\n")]


def values_in_array(message: str | bytes) -> list[Any]:
    """Return the values of a message that is one, or has several in an array."""
    found = loads(message)
    return found if is_array(found) else [found]
