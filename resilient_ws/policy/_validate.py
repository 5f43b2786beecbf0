"""Checks of arguments. Each error names the argument and says what it must be.

A wrong type is a ``TypeError``, a wrong value a ``ValueError``. The functions that take
a name check the argument of a call, and those that take an instance and an attribute
are attrs validators. ``seconds`` is an attrs converter: it passes on what is not an
``int``, because the validator after it knows the name to put in the error.
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
    """Return an ``int`` as a ``float``, infinite if need be, and all else unchanged."""
    if type(value) is not int:  # a bool is an int as well, but not a duration
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def seconds_or_none(value: float | None) -> float | None:
    """Convert as ``seconds`` does, but keep None."""
    return None if value is None else seconds(value)


def positive(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse all but a finite number of seconds above 0."""
    check_positive(name_of(instance, attribute), value)


def not_negative(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Refuse all but a finite number of seconds, 0 or more."""
    check_duration(name_of(instance, attribute), value)


def positive_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``positive`` does, but allow None."""
    if value is not None:
        positive(instance, attribute, value)


def check_positive(name: str, value: object, *, also: str = "") -> None:
    """Refuse all but a finite number of seconds above 0.

    Args:
        name: The argument.
        value: Its value.
        also: What else the caller allows, for the error.
    """
    right = f"a positive number of seconds{also}"
    number = _number(name, right, value)
    if number <= 0:
        raise ValueError(f"{name} must be {right}, not {number:g}.")


def instance_of(
    kind: type, right: str
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator for a type, which its error calls ``right``."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        require(value, kind, name_of(instance, attribute), right)

    return check


def check_duration(name: str, value: object) -> None:
    """Refuse all but a finite number of seconds, 0 or more."""
    right = "a number of seconds, 0 or more"
    number = _number(name, right, value)
    if number < 0:
        raise ValueError(f"{name} must be {right}, not {number:g}.")


def positive_int(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Refuse all but a whole number above 0."""
    whole_number(name_of(instance, attribute), value, at_least=1)


def positive_int_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``positive_int`` does, but allow None."""
    if value is not None:
        positive_int(instance, attribute, value)


def whole_number(
    name: str, value: object, *, at_least: int, at_most: int | None = None
) -> None:
    """Refuse all but an ``int`` of at least ``at_least``, which is 0 or 1."""
    right = "a positive whole number" if at_least else "a whole number, 0 or more"
    if at_most is not None:
        right = f"a whole number from {at_least} to {at_most}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, right, value)
    if value < at_least or (at_most is not None and value > at_most):
        raise ValueError(f"{name} must be {right}, not {value}.")


def one_of(
    *choices: object,
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that accepts only these values."""
    right = f"one of {', '.join(repr(choice) for choice in choices)}"

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        # Compare the types too: 1 == True.
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
    """Refuse all but a plain callable, because its result is not awaited."""
    require_synchronous(value, name_of(instance, attribute))


def synchronous_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``synchronous`` does, but allow None."""
    if value is not None:
        synchronous(instance, attribute, value)


def check_callables(**values: object) -> None:
    """Refuse what can neither be called nor is None, by the name of its argument."""
    for name, value in values.items():
        if value is not None:
            require_callable(value, name)


def check_rate(name: str, value: object) -> None:
    """Refuse all but a finite number above 0, so many a second, and None."""
    if value is None:
        return
    right = "a positive number, so many a second, or None for no limit"
    number = _number(name, right, value)
    if number <= 0:
        raise ValueError(f"{name} must be {right}, not {number:g}.")


def rate_or_none(
    instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Check as ``check_rate`` does."""
    check_rate(name_of(instance, attribute), value)


def check_timeout(value: object) -> None:
    """Refuse a ``timeout`` that is neither None nor a number of seconds, 0 or more."""
    if value is not None:
        check_duration("timeout", value)


def check_seconds_or_none(name: str, value: object) -> None:
    """Check as ``check_positive`` does, but allow None."""
    if value is not None:
        check_positive(name, value)


def is_coroutine_callable(value: object) -> bool:
    """Return whether calling ``value``, a partial or an object, makes a coroutine."""
    while isinstance(value, functools.partial):
        value = cast("functools.partial[object]", value).func
    called = getattr(type(value), "__call__", None)  # noqa: B004 - to look at, not call
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(called)


def require(
    value: object, kind: type | tuple[type, ...], name: str, right: str
) -> None:
    """Refuse a value of another type, for users without a type checker."""
    if not isinstance(value, kind):
        raise wrong_type(name, right, value)


def check_encodable(name: str, text: str) -> None:
    """Refuse text that UTF-8 cannot encode, without repeating it: it may be secret."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name} must not contain lone surrogates, which UTF-8 cannot carry."
        ) from None


def require_callable(value: object, name: str) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise wrong_type(name, "a callable", value)


def require_synchronous(value: object, name: str, right: str = "a callable") -> None:
    """Refuse what cannot be called, and coroutine functions."""
    if not callable(value):
        raise wrong_type(name, right, value)
    if is_coroutine_callable(value):
        raise TypeError(
            f"{name} must be a plain function, not a coroutine function (async def)."
        )


def name_of(instance: object, attribute: attrs.Attribute[Any]) -> str:
    """Return the name as the user writes it: ``Timeouts.open``."""
    return f"{type(instance).__name__}.{attribute.name}"


def wrong_type(name: str, right: str, value: object) -> TypeError:
    """Return the error for a value whose type is not ``right``."""
    return TypeError(f"{name} must be {right}, not {_a(value)}.")


def _number(name: str, right: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, right, value)
    number = seconds(value)
    if not math.isfinite(number):
        raise ValueError(
            f"{name} must be {right}, not {number:g}: it has to be finite."
        )
    return number


def _a(value: object) -> str:
    # Only the type: a misplaced value may be a secret.
    return "None" if value is None else f"a value of type {type(value).__name__}"
