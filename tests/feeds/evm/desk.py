"""A node played by hand, over a session played by hand: for tests in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from resilient_ws.feeds.jsonrpc import Client
from tests.feeds.evm.model import Chain
from tests.feeds.scripted_session import ScriptedSession
from tests.record import turns


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.evm import Head


def as_sent(head: Head) -> dict[str, Any]:
    return {
        "number": hex(head.number),
        "hash": head.hash,
        "parentHash": head.parentHash,
        "timestamp": hex(head.timestamp),
    }


class NodeDesk:
    """A client of a node that has a model chain.

    Attributes:
        chain: The chain.
        answers: What is answered instead: a method with its parameters, or None for
            what the chain says. May raise ``Refused``.
        connections: How many there were; each asked for is opened at once.
        reconnects: Whether one is opened at once where another was asked for.
    """

    def __init__(self, height: int = 10) -> None:
        self.chain = Chain(height)
        self.session = ScriptedSession()
        self.session.on_send = self._take
        self.client = Client(self.session.session, timeout=5)
        self.chain_id = 1
        self.key: str | None = "0xabc"
        self.instead: Callable[[str, list[Any]], Any] = lambda *_: ...
        self.asked: list[tuple[str, list[Any]]] = []
        self._reconnects = 0

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self.session.open()
        await turns()
        self._dialler = asyncio.create_task(self._dial())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dialler.cancel()
        await self.client.__aexit__(None, None, None)
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something is left"

    def announce(self, *heads: Any) -> None:
        for head in heads:
            sent = head if isinstance(head, dict | str) else as_sent(head)
            params = {"subscription": self.key, "result": sent}
            message = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
            self.session.receive(message)

    def mine(self, count: int = 1) -> list[Head]:
        new = self.chain.mine(count)
        self.announce(*new)
        return new

    def calls(self, method: str) -> int:
        return sum(one == method for one, _ in self.asked)

    async def _dial(self) -> None:
        """Open another connection where one was asked for."""
        while True:
            await asyncio.sleep(0.01)
            if len(self.session.reconnects) > self._reconnects:
                self._reconnects += 1
                self.session.replace()
                await turns()
                self.session.open()

    def _take(self, message: str | bytes) -> None:
        request = json.loads(message)
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            answer["result"] = self._result(method, params)
        except Refused as refused:
            answer["error"] = {"code": refused.code, "message": refused.text}
        self.session.receive(answer)

    def _result(self, method: str, params: list[Any]) -> Any:
        instead = self.instead(method, params)
        if instead is not ...:
            return instead
        blocks = self.chain.blocks
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_subscribe":
                if self.key is None:
                    raise Refused(-32601, "the method eth_subscribe does not exist")
                return self.key
            case "eth_unsubscribe":
                return True
            case "eth_getBlockByHash":
                found = [block for block in blocks if block.hash == params[0]]
            case "eth_getBlockByNumber" if params[0] == "latest":
                found = [blocks[-1]]
            case "eth_getBlockByNumber" if params[0].startswith("0x"):
                number = int(params[0], 16)
                found = list(blocks[number : number + 1])
            case "eth_getBlockByNumber" if params[0] == "finalized":
                found = [blocks[max(0, len(blocks) - 13)]]
            case _:
                raise Refused(-32602, "invalid params")
        return as_sent(found[0]) if found else None


class Refused(Exception):
    """The node answers with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
