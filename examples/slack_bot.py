"""A Slack bot for a team without a public URL: it answers each mention once.

    SLACK_APP_TOKEN=xapp-... SLACK_BOT_TOKEN=xoxb-... python examples/slack_bot.py

Slack renews connections: each new one is opened before the old one is left.
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp

from resilient_ws import Attempt, Fatal, connect
from resilient_ws.feeds import Channel, Gap, Rotate, Subscription, overlap
from resilient_ws.feeds.protocols import Slack


API = os.environ.get("SLACK_API", "https://slack.com/api")
HOPELESS = {"invalid_auth", "not_authed", "token_revoked", "account_inactive"}


async def call(
    http: aiohttp.ClientSession, method: str, token: str, **body: str
) -> dict[str, Any]:
    bearer = {"Authorization": f"Bearer {os.environ[token]}"}
    async with http.post(f"{API}/{method}", headers=bearer, json=body) as response:
        answer: dict[str, Any] = await response.json()
    if not answer["ok"]:
        kind = Fatal if answer["error"] in HOPELESS else OSError
        raise kind(f"Slack refused {method}: {answer['error']}")
    return answer


async def reply(http: aiohttp.ClientSession, mention: dict[str, Any]) -> None:
    text = f"<@{mention['user']}> You said: {mention['text']}"
    where = {"channel": mention["channel"], "thread_ts": mention["ts"]}
    try:
        await call(http, "chat.postMessage", "SLACK_BOT_TOKEN", text=text, **where)
        print(f"answered {mention['ts']}", flush=True)
    except (OSError, aiohttp.ClientError, TimeoutError) as failure:
        print(f"could not answer {mention['ts']}: {failure!r}", flush=True)


async def main() -> None:
    async def url(_: Attempt) -> str:  # each URL of Slack is for one connection
        opened = await call(http, "apps.connections.open", "SLACK_APP_TOKEN")
        return str(opened["url"])

    @contextlib.asynccontextmanager
    async def leg(
        on_rotate: Callable[[Rotate], None], _: Rotate | None
    ) -> AsyncGenerator[Subscription[dict[str, Any]], None]:
        slack = Slack()
        async with Channel(connect(url), slack, on_rotate=on_rotate) as channel:
            print("listening", flush=True)
            yield await channel.subscribe(slack.envelopes("events_api"))

    def identity(envelope: dict[str, Any]) -> str:
        return str(envelope["payload"].get("event_id", envelope["envelope_id"]))

    http = aiohttp.ClientSession(raise_for_status=True)
    async with http, overlap(leg, identity=identity) as envelopes:
        async for envelope in envelopes:
            if isinstance(envelope, Gap):
                print(f"mentions may be missing: {envelope.because}", flush=True)
                continue
            event = envelope["payload"].get("event", {})
            if event.get("type") == "app_mention":
                await reply(http, event)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
