"""Checks shared by the policies: what is wrong, where, and what would be right.

A converter turns an ``int`` of seconds into a ``float`` and lets everything else
through, because only the validator after it knows the name to put in the message. A
wrong type is a ``TypeError``, a wrong value a ``ValueError``.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import TYPE_CHECKING, Any, cast


if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs


def seconds(value: float) -> float:
    """An ``int`` as a ``float``; anything else as it is."""
    if type(value) is not int:  # a bool is an int as well, and no duration
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def seconds_or_none(value: float | None) -> float | None:
    """As ``seconds``, for what may be switched off."""
    return None if value is None else seconds(value)


def positive(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A finite number of seconds above 0."""
    name = name_of(instance, attribute)
    if _number(name, "a positive number of seconds", value) <= 0:
        raise ValueError(f"{name} must be a positive number of seconds, not {value:g}.")


def not_negative(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """A finite number of seconds, 0 or above."""
    name = name_of(instance, attribute)
    if _number(name, "a number of seconds, 0 or more", value) < 0:
        raise ValueError(
            f"{name} must be a number of seconds, 0 or more, not {value:g}."
        )


def positive_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """As ``positive``, for what may be switched off."""
    if value is not None:
        positive(instance, attribute, value)


def check_positive(name: str, value: object, *, also: str = "") -> None:
    """A finite number of seconds above 0, given as ``name``; ``also`` is right, too."""
    right = f"a positive number of seconds{also}"
    if _number(name, right, value) <= 0:
        raise ValueError(f"{name} must be {right}, not {value}.")


def instance_of(
    kind: type, right: str
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Something of a type, which the message calls ``right``."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        require(value, kind, name_of(instance, attribute), right)

    return check


def check_duration(name: str, value: object) -> None:
    """A finite number of seconds, 0 or above, given to a method as ``name``."""
    right = "a number of seconds, 0 or more"
    if _number(name, right, value) < 0:
        raise ValueError(f"{name} must be {right}, not {value}.")


def positive_int(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """A whole number above 0."""
    whole_number(name_of(instance, attribute), value, at_least=1)


def positive_int_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """As ``positive_int``, for what may be without a limit."""
    if value is not None:
        positive_int(instance, attribute, value)


def whole_number(name: str, value: object, *, at_least: int) -> None:
    """A whole number; True and 2.0 are none."""
    right = "a positive whole number" if at_least else "a whole number, 0 or more"
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, right, value)
    if value < at_least:
        raise ValueError(f"{name} must be {right}, not {value}.")


def one_of(
    *choices: object,
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """One of a few words."""
    right = f"one of {', '.join(repr(choice) for choice in choices)}"

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        # By type too: 1 equals True, and is not it.
        if any(type(value) is type(item) and value == item for item in choices):
            return
        name = name_of(instance, attribute)
        if type(value) not in {type(item) for item in choices}:
            raise wrong_type(name, right, value)
        raise ValueError(f"{name} must be {right}, not {value!r}.")

    return check


def synchronous(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """A callable that answers at once, for a decision cannot be awaited."""
    require_synchronous(value, name_of(instance, attribute))


def synchronous_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """As ``synchronous``, for what may be left out."""
    if value is not None:
        synchronous(instance, attribute, value)


def is_coroutine_callable(value: object) -> bool:
    """Whether calling it gives a coroutine, also through a partial or an object."""
    while isinstance(value, functools.partial):
        value = cast("functools.partial[object]", value).func
    called = getattr(type(value), "__call__", None)  # noqa: B004 - to look at, not call
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(called)


def require(
    value: object, kind: type | tuple[type, ...], name: str, right: str
) -> None:
    """A value of the right type, whatever a caller without a type checker gave."""
    if not isinstance(value, kind):
        raise wrong_type(name, right, value)


def check_encodable(name: str, text: str) -> None:
    """A text that UTF-8 can carry; it is not repeated, for it may be a credential."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must not contain lone surrogates, which UTF-8 cannot carry."
        ) from None


def require_callable(value: object, name: str) -> None:
    """Something to be called."""
    if not callable(value):
        raise wrong_type(name, "a callable", value)


def require_synchronous(value: object, name: str, right: str = "a callable") -> None:
    """Something to be called that answers at once."""
    if not callable(value):
        raise wrong_type(name, right, value)
    if is_coroutine_callable(value):
        raise TypeError(
            f"{name} must be a plain function, not a coroutine function (async def)."
        )


def name_of(instance: object, attribute: attrs.Attribute[Any]) -> str:
    """How the user spells it: ``Timeouts.open``."""
    return f"{type(instance).__name__}.{attribute.name}"


def wrong_type(name: str, right: str, value: object) -> TypeError:
    """The error for a value of another type than ``right``."""
    return TypeError(f"{name} must be {right}, not {_a(value)}.")


def _number(name: str, right: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, right, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be {right}, not {value:g}: it has to be finite.")
    return value


def _a(value: object) -> str:
    # Only the type: a misplaced value may be a secret.
    return "None" if value is None else f"a value of type {type(value).__name__}"
