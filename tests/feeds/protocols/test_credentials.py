"""Credentials that are fixed, and those that are asked for."""

from __future__ import annotations

from resilient_ws.feeds.protocols.credentials import fresh


async def test_one_that_may_expire_is_asked_for_each_time() -> None:
    tokens = iter("ab")

    async def token() -> str:
        return next(tokens)

    first: str = await fresh(token)
    second: str = await fresh(token)
    assert (first, second) == ("a", "b")
    assert await fresh("fixed") == "fixed"
