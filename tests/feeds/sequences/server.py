"""The server: ``python -m tests.feeds.sequences.server PORT SEED KEYS RATE``.

It keeps a book for each key, changes one every ``1 / RATE`` seconds, and tells whoever
has subscribed: ``{"k": key, "g": generation, "n": number, "d": changes, "h": hash}``. The
hash is that of the whole book behind the change: for the judge alone, not for the
client. To the keys with an even number it does wrong on purpose, and logs what.

Requests are ``{"op": "subscribe" | "unsubscribe" | "book" | "settle", "id": ...,
"k": key}``; answers ``{"re": id, ...}``. ``subscribe`` with ``"snap": true`` sends the
snapshot behind its answer. ``settle`` ends all changes, and tells each subscriber of
each key one last time, without a fault.
"""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.feeds.sequences.book import hash_of
from tests.servers import behaviour


if TYPE_CHECKING:
    from collections.abc import Callable

#: How often a change of a key that may be hurt is lost, told twice, told late, or
#: followed by a new count.
LOSE, REPEAT, SWAP, RESTART = 0.02, 0.02, 0.02, 0.005
LEVELS: Final = 12
MAX_WAITING: Final = 100_000


class Book:
    """The server's book of one key."""

    def __init__(self, key: str, chance: random.Random) -> None:
        self.key = key
        self.may_hurt = int(key[1:]) % 2 == 0
        self._chance = chance
        self.restart()

    def restart(self) -> None:
        """Begin anew: other contents, another count."""
        chance = self._chance
        self.generation = chance.getrandbits(40)
        self.number = 0
        self.levels = {str(n): chance.randrange(1, 1000) for n in range(LEVELS // 2)}

    def change(self) -> dict[str, Any]:
        """Set a level, or take it away; return what to tell."""
        level = str(self._chance.randrange(LEVELS))
        quantity = self._chance.choice((0, self._chance.randrange(1, 1000)))
        if quantity:
            self.levels[level] = quantity
        else:
            self.levels.pop(level, None)
        self.number += 1
        return self._told(d={level: quantity}, h=hash_of(self.levels))

    def snapshot(self) -> dict[str, Any]:
        """All of it."""
        return self._told(b=dict(self.levels))

    def _told(self, **more: Any) -> dict[str, Any]:
        return {"k": self.key, "g": self.generation, "n": self.number, **more}


class Client:
    """One connection: a line of its own, so that none waits for another."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.keys: set[str] = set()
        self.line: collections.deque[str] = collections.deque()
        self.wake = asyncio.Event()

    def tell(self, message: dict[str, Any]) -> None:
        """Send soon; end a connection that does not read."""
        self.line.append(json.dumps(message))
        self.wake.set()
        if len(self.line) > MAX_WAITING:
            self.connection.transport.abort()

    async def send(self) -> None:
        """Send what is told."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.line:
                await self.connection.send(self.line.popleft())


class Market:
    """The books, and those who are told."""

    def __init__(self, seed: int, keys: int, rate: float) -> None:
        # Another life of the process does other things, from the same seed.
        self._chance = random.Random(f"{seed} {time.time_ns()}")
        self._books = {
            name: Book(name, self._chance) for name in (f"k{n}" for n in range(keys))
        }
        self._names = list(self._books)
        self._rate = rate
        self._clients: set[Client] = set()
        # A change that is told behind the next one of its key.
        self._late: dict[str, dict[str, Any]] = {}
        self._settled = False

    async def run(self) -> None:
        """Change the books for ever."""
        loop = asyncio.get_running_loop()
        began, done = loop.time(), 0
        while not self._settled:
            due = int((loop.time() - began) * self._rate)
            for _ in range(due - done):
                self._change(self._books[self._chance.choice(self._names)])
            done = due
            await asyncio.sleep(0.005)

    def _change(self, book: Book) -> None:
        told = book.change()
        if not book.may_hurt:
            self._tell(told)
            return
        roll = self._chance.random()
        late = self._late.pop(book.key, None)
        if roll < LOSE:
            self._hurt("lost", book)
        elif roll < LOSE + SWAP and late is None:
            self._late[book.key] = told
            self._hurt("swapped", book)
        else:
            self._tell(told)
            if roll < LOSE + SWAP + REPEAT:
                self._hurt("repeated", book)
                self._tell(told)
            elif roll < LOSE + SWAP + REPEAT + RESTART:
                self._hurt("restarted", book)
                book.restart()
        if late is not None:
            self._tell(late)

    def _hurt(self, how: str, book: Book) -> None:
        behaviour.log("hurt", how=how, key=book.key)

    def _tell(self, told: dict[str, Any]) -> None:
        for client in self._clients:
            if told["k"] in client.keys:
                client.tell(told)

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection to its end."""
        client = Client(connection)
        self._clients.add(client)
        sending = asyncio.create_task(client.send())
        try:
            async for message in connection:
                self._answer(client, json.loads(message))
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._clients.discard(client)
            sending.cancel()

    def _answer(self, client: Client, request: dict[str, Any]) -> None:
        operations: dict[str, Callable[[Client, dict[str, Any]], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "book": self._book,
            "settle": self._settle,
        }
        operations[request["op"]](client, request)

    def _subscribe(self, client: Client, request: dict[str, Any]) -> None:
        client.keys.add(request["k"])
        client.tell({"re": request["id"]})
        if request.get("snap"):
            client.tell(self._books[request["k"]].snapshot())

    def _unsubscribe(self, client: Client, request: dict[str, Any]) -> None:
        client.keys.discard(request["k"])
        client.tell({"re": request["id"]})

    def _book(self, client: Client, request: dict[str, Any]) -> None:
        client.tell({"re": request["id"]} | self._books[request["k"]].snapshot())

    def _settle(self, client: Client, request: dict[str, Any]) -> None:
        self._settled = True
        for book in self._books.values():
            self._tell(book.change())
        books = {key: book.snapshot() for key, book in self._books.items()}
        client.tell({"re": request["id"], "books": books})


async def main(port: int, seed: int, keys: int, rate: float) -> None:
    """Serve until told to end."""
    market = Market(seed, keys, rate)
    async with serve(market.serve, "127.0.0.1", port, ping_interval=None):
        behaviour.log("ready")
        changing = asyncio.create_task(market.run())
        await behaviour.until_told_to_end()
        changing.cancel()


if __name__ == "__main__":
    _port, _seed, _keys, _rate = sys.argv[1:]
    asyncio.run(main(int(_port), int(_seed), int(_keys), float(_rate)))
