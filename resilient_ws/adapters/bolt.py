"""Bolt for Slack on sessions: the handler that runs an ``AsyncApp``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from slack_bolt.adapter.socket_mode.async_base_handler import (
    AsyncBaseSocketModeHandler,
)
from slack_bolt.adapter.socket_mode.async_internals import (
    run_async_bolt_app,
    send_async_response,
)
from typing_extensions import override

from resilient_ws.adapters.slack import SocketModeClient


if TYPE_CHECKING:
    from slack_bolt.app.async_app import AsyncApp
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest


__all__ = ["AsyncSocketModeHandler"]


class AsyncSocketModeHandler(AsyncBaseSocketModeHandler):
    """Runs a Bolt app over ``resilient_ws.adapters.slack.SocketModeClient``.

    ::

        from resilient_ws.adapters.bolt import AsyncSocketModeHandler

        await AsyncSocketModeHandler(app, app_token).start_async()

    Args:
        app: The app.
        app_token: The token of the app (default: ``SLACK_APP_TOKEN`` of the
            environment).
        client: The Socket Mode client, for settings of your own.
    """

    def __init__(
        self,
        app: AsyncApp,
        app_token: str | None = None,
        *,
        client: SocketModeClient | None = None,
    ) -> None:
        self.app = self._bolt = app
        if client is None:
            token = app_token or os.environ["SLACK_APP_TOKEN"]
            client = SocketModeClient(token, app.client, app.logger)
        self.client = self._client = client
        self.client.socket_mode_request_listeners.append(self.handle)

    @override
    async def start_async(self) -> None:
        """Connect, and run until cancelled.

        Cancellation:
            Closes the connections; nothing is left behind.
        """
        start: Any = super().start_async
        try:
            await start()
        finally:
            await self._client.close()

    @override
    async def handle(
        self, client: AsyncBaseSocketModeClient, req: SocketModeRequest
    ) -> None:
        """Have the app handle an envelope, and send its answer."""
        began = time.time()
        response = await run_async_bolt_app(self._bolt, req)
        await send_async_response(client, req, response, began)
