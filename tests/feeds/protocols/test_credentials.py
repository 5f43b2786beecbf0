"""Credentials that are fixed, and those that are asked for."""

from __future__ import annotations

from resilient_ws.feeds.protocols.credentials import fresh


async def test_one_that_may_expire_is_asked_for_each_time() -> None:
    tokens = iter("ab")

    async def token() -> str:
        return next(tokens)

    assert [await fresh(token), await fresh(token)] == ["a", "b"]
    assert await fresh("fixed") == "fixed"
    assert await fresh(None) is None
