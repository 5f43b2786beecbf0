"""A GraphQL server on strawberry and aiohttp: ``python serve_strawberry.py PORT``.

It has the schema of ``node/serve_graphql.js``, as far as the tests of adapters use it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator  # noqa: TC003 - strawberry reads it

import strawberry
from aiohttp import web
from strawberry.aiohttp.views import GraphQLView


#: Ticks of 10 ms since 1970, so that they go on across the lives of the server.
TICK = 0.01
executed = 0


def now() -> int:
    return int(time.time() / TICK)


def log(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


@strawberry.type
class Query:
    @strawberry.field
    def echo(self, text: str) -> str:
        return text

    @strawberry.field
    def broken(self) -> int | None:
        raise ValueError("it is broken")

    @strawberry.field
    def history(self, after: float, until: float | None = None) -> list[float]:
        last = now() if until is None else int(until)
        return [float(tick) for tick in range(int(after) + 1, last + 1)]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def add(self, wait: int | None = None) -> int:
        global executed  # noqa: PLW0603 - one number for the process
        executed += 1
        result = executed
        log("add", result=result)
        await asyncio.sleep((wait or 0) / 1000)
        return result


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncGenerator[float, None]:
        tick = now()
        while True:
            while now() < tick:  # noqa: ASYNC110 - a clock tells nobody
                await asyncio.sleep(TICK / 2)
            yield float(tick)
            tick += 1

    @strawberry.subscription
    async def few(self, count: int) -> AsyncGenerator[int, None]:
        for number in range(1, count + 1):
            yield number


def main() -> None:
    schema = strawberry.Schema(Query, Mutation, Subscription)
    app = web.Application()
    view = GraphQLView(schema=schema)
    app.router.add_route("*", "/", view)
    # The test run that started us is gone.
    leave = threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)))
    leave.daemon = True
    leave.start()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
