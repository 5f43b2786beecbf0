"""Credentials: fixed ones, or such that expire and are asked for anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar, cast


T = TypeVar("T")

#: A credential, or an ``async`` callable that returns a fresh one.
Credential: TypeAlias = T | Callable[[], Awaitable[T]]
#: A token, if any.
Token: TypeAlias = Credential[str] | Credential[None]


async def fresh(credential: Credential[T]) -> T:
    """Return a credential, which is asked for where it may have expired."""
    if not callable(credential):
        return credential
    ask = cast("Callable[[], Awaitable[T]]", cast("object", credential))
    return await ask()
