"""Runs what a command does until it ends, or until a signal or a key ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resilient_ws.cli.signals import on_ending_signals


if TYPE_CHECKING:
    from collections.abc import Coroutine


async def until_stopped(*works: Coroutine[Any, Any, object]) -> None:
    """Run all of them until one ends, or a signal comes; raise what failed."""
    stopped = asyncio.Event()
    on_ending_signals(stopped.set)
    tasks = [asyncio.ensure_future(work) for work in (stopped.wait(), *works)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure
