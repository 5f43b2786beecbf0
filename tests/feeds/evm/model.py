"""A chain that lives in a test, the node that tells of it badly, and who drives.

The node is several back ends behind one address: each question may be answered by one
that lags, has nothing, or fails. Announcements get lost, or come late. At the end it is
honest, and what was told must be what it has.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from resilient_ws.feeds import Gap, RPCError
from resilient_ws.feeds.evm import Head, Reorg
from resilient_ws.feeds.evm.chain import ToldChain
from resilient_ws.feeds.evm.steps import (
    Accept,
    AwaitHint,
    BlockFound,
    BlockQuery,
    DropQueries,
    NewConnection,
    Pause,
    Remark,
    Resubscribe,
    SendQuery,
    Step,
    TakeAnswer,
    TellGap,
    Undo,
)
from resilient_ws.feeds.evm.tracker import Tracker
from tests.feeds.evm.told import Told


if TYPE_CHECKING:
    import random

    from resilient_ws.feeds.evm import Cursor
    from resilient_ws.feeds.evm.tracker import Confirmations

#: Steps after which an honest node must have been followed to its newest block.
ENOUGH: Final = 20_000
#: How far behind the newest block the model's finalized block is.
FINAL: Final = 12


def header(number: int, name: int, parent: str) -> Head:
    return Head(number=number, hash=f"0x{name:064x}", parentHash=parent, timestamp=0)


@attrs.frozen
class Faults:
    """How often, of a hundred times, something goes wrong."""

    lag: int = 0
    null: int = 0
    error: int = 0
    drop: int = 0
    lost: int = 0
    change: int = 0


class Chain:
    """The true chain, and what it was before."""

    def __init__(self, height: int) -> None:
        self._names = iter(range(1, 10_000_000))
        self.blocks: tuple[Head, ...] = (header(0, 0, "0x" + "f" * 64),)
        self.views: deque[tuple[Head, ...]] = deque([self.blocks], maxlen=4)
        self.deepest = 0
        self.mine(height)

    def mine(self, count: int) -> list[Head]:
        new: list[Head] = []
        for _ in range(count):
            tip = self.blocks[-1]
            new.append(header(tip.number + 1, next(self._names), tip.hash))
            self.blocks = (*self.blocks, new[-1])
        self.views.append(self.blocks)
        return new

    def cut(self, depth: int) -> None:
        depth = min(depth, len(self.blocks) - 1)
        if depth:
            self.deepest = max(self.deepest, depth)
            self.blocks = self.blocks[:-depth]

    def shrink(self, depth: int) -> None:
        self.cut(depth)
        self.views.append(self.blocks)


class World:
    """Drives a tracker against a node."""

    def __init__(
        self,
        rng: random.Random,
        faults: Faults,
        *,
        height: int = 10,
        after: int | Cursor | None = None,
        max_reorg: int = 64,
        confirmations: Confirmations = 0,
        chunk: int = 1,
        depth: int = 6,
        chain: Chain | None = None,
        told: Told | None = None,
    ) -> None:
        self.rng = rng
        self.faults = faults
        self.depth = depth
        self.chain = Chain(height) if chain is None else chain
        self.told = Told() if told is None else told
        kept = ToldChain(max_reorg, after)
        kept.of_chain(1)
        self.tracker = Tracker(kept, confirmations=confirmations, chunk=chunk)
        self.now = 0.0
        self.waits = self.left = 0
        self.connections = 0
        self.asked: dict[int, BlockQuery] = {}
        self._tickets = iter(range(10_000_000))
        # Announced, and not arrived.
        self._late: list[Head] = []

    def happens(self, percent: int) -> bool:
        return percent > 0 and self.rng.randrange(100) < percent

    # Driving.

    def run(self, waits: int, steps: int = ENOUGH) -> None:
        """Drive until the tracker has waited for announcements so often.

        Or has made so many steps.
        """
        self.waits = 0
        self.left = steps
        while self.waits < waits and self.left > 0:
            self._connect(waits)

    def _connect(self, waits: int) -> None:
        """Drive on one connection."""
        self.connections += 1
        self.asked.clear()
        steps = self.tracker.follow()
        answer: Any = None
        while self.left > 0:
            self.left -= 1
            step = steps.send(answer)
            if isinstance(step, Remark):
                answer = None
                continue
            if isinstance(step, NewConnection | Resubscribe):
                break
            if self.happens(self.faults.drop):
                self._half(step)
                break
            answer = self._do(step)
            if self.waits >= waits:
                break
        steps.close()
        self.tracker.lost()

    def _half(self, step: Step) -> None:
        """The connection ends in the middle of a step."""
        if isinstance(step, Accept):
            part = step.heads[: self.rng.randint(0, len(step.heads))]
            self._accept(step, part)
        elif isinstance(step, Undo | TellGap) and self.happens(50):
            self._do(step)

    def _accept(self, step: Accept, part: tuple[Head, ...]) -> None:
        for head in part:
            self.told.take(head)
            step.told += 1

    def _do(self, step: Step) -> Any:
        match step:
            case SendQuery(query):
                ticket = next(self._tickets)
                self.asked[ticket] = query
                assert len(self.asked) <= 16, "more than the window"
                return ticket
            case TakeAnswer(ticket):
                self._live()
                return self._answer(self.asked.pop(ticket))
            case DropQueries(tickets):
                for ticket in tickets:
                    del self.asked[ticket]
            case Pause(seconds):
                assert 0 < seconds <= 10
                self.now += seconds
                self._live()
            case AwaitHint(seconds):
                self.waits += 1
                self.now += seconds
                self._live()
                return self.tracker.fresh
            case Accept():
                self._accept(step, step.heads)
            case Undo():
                self.told.take(
                    Reorg(
                        ancestor=step.ancestor,
                        removed=step.removed,
                        cursor=step.cursor,
                    )
                )
                step.told = True
            case TellGap():
                self.told.take(
                    Gap(
                        key="heads",
                        first_missing=step.first,
                        until=step.until,
                        because=step.because,
                    )
                )
                step.told = True
            case _:
                raise AssertionError(f"no such step was to come: {step}")
        return None

    # The node.

    def _answer(self, query: BlockQuery) -> BlockFound:
        if self.happens(self.faults.error) and query.what != "finalized":
            return BlockFound(None, RPCError(-32000, "busy"), self.now)
        if self.happens(self.faults.null):
            return BlockFound(None, None, self.now)
        view = self.chain.blocks
        if self.happens(self.faults.lag):
            view = self.rng.choice(list(self.chain.views))
        return BlockFound(_block(view, query), None, self.now)

    def _live(self) -> None:
        """What happens meanwhile on the chain."""
        if self.happens(50):
            late, self._late = self._late, []
            for head in late:
                self.tracker.announced(head)
        if not self.happens(self.faults.change):
            return
        what = self.rng.randrange(10)
        if what == 0:
            self.chain.shrink(self.rng.randint(1, self.depth))
            return
        if what in (1, 2):
            self.chain.cut(self.rng.randint(1, self.depth))
        new = self.chain.mine(self.rng.randint(1, 3))
        kind: Literal[0, 1, 2] = self.rng.choice([0, 1, 2])
        announced = new if kind == 0 else new[-1:]
        if kind == 2:  # like anvil, old heights again
            announced = list(self.chain.blocks[-4:])
        for head in announced:
            if self.happens(self.faults.lost):
                continue
            if self.happens(30):
                self._late.append(head)
            else:
                self.tracker.announced(head)

    def settle(self) -> None:
        """The node becomes honest, and is followed to its newest block."""
        self.faults = Faults()
        self._late.clear()
        self.run(5)
        assert self.left, "it goes in circles"


def _block(view: tuple[Head, ...], query: BlockQuery) -> Head | None:
    what = query.what
    if query.by == "hash":
        return next((block for block in reversed(view) if block.hash == what), None)
    if query.by == "tag":
        if what == "latest":
            return view[-1]
        return view[max(0, len(view) - 1 - FINAL)]
    assert isinstance(what, int)
    return view[what] if 0 <= what < len(view) else None
