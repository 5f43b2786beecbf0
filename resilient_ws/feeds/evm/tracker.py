"""The chain tracker: told what a node says, it answers with what to ask and to tell.

Pure: it knows no network and no clock. ``follow`` is a generator for one connection,
which yields the steps of ``steps`` and is sent their answers; ``announced`` may be
called at any time between two of them. When the connection ends, the generator is
closed and ``lost`` is called, then ``follow`` again for the next connection: what was
told stays in ``chain``.

Rules: an announcement says how far to go, and no more. A block is told when it links to
the last one that was told, or after the removal of what was in its place. A block that
the node does not have is waited for, and never passed over without a gap.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.feeds.errors import (
    BackfillFailed,
    HistoryPruned,
    RPCError,
    UnknownTag,
)
from resilient_ws.feeds.evm.asking import (
    ask,
    ask_patiently,
    by_number,
    by_tag,
    first_present,
    is_pruned,
)
from resilient_ws.feeds.evm.climbing import WINDOW, climb
from resilient_ws.feeds.evm.forks import follow_fork, start_over
from resilient_ws.feeds.evm.lagging import Lagging
from resilient_ws.feeds.evm.shrinking import judge_shorter
from resilient_ws.feeds.evm.steps import AwaitHint, Remark, Resubscribe
from resilient_ws.feeds.evm.types import Head


if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from resilient_ws.feeds.evm.chain import ToldChain
    from resilient_ws.feeds.evm.steps import BlockFound, Steps


#: Announced blocks in sequence that are kept until they are told.
MAX_ANNOUNCED: Final = 64

Confirmations: TypeAlias = "int | Literal['safe', 'finalized']"


@attrs.frozen
class _Target:
    """How far to go.

    Attributes:
        number: The height of the block to tell last.
        hash: Its hash, ``None`` where it is not known.
    """

    number: int
    hash: str | None


class Tracker:
    """Follows one chain.

    Args:
        chain: What was told.
        confirmations: How many blocks must follow one before it is told, or the tag of
            the newest block to tell.
        lag_patience: Seconds that a node may need to find a block that it announced.
        settle: Seconds between two answers that must agree before a chain is believed
            to have become shorter.
        window: Requests that wait for an answer at once.
        chunk: How many blocks are told at once while catching up, at most.
        bypass: Whether finalized blocks are left to the driver: see ``Bypass``.

    Attributes:
        fresh: Whether something was announced that was not looked at.
        subscribed: Whether this connection announces blocks.
        quiet: Seconds without an announcement after which the newest block is asked
            for.
    """

    def __init__(
        self,
        chain: ToldChain,
        *,
        confirmations: Confirmations = 0,
        lag_patience: float = 10.0,
        settle: float = 3.0,
        window: int = WINDOW,
        chunk: int = 1,
        bypass: bool = False,
    ) -> None:
        self.chain = chain
        self._depth = confirmations if isinstance(confirmations, int) else 0
        self._tag = confirmations if isinstance(confirmations, str) else None
        self._patience = lag_patience
        self._settle = settle
        self.quiet = 15.0
        self._window = window
        self._chunk = chunk
        self._bypass = bypass
        self._announced: deque[Head] = deque(maxlen=MAX_ANNOUNCED)
        self._target: _Target | None = None
        # The height above which nothing is told, for want of confirmations.
        self._limit = -1
        # Whether the node is known to know the tag.
        self._tag_known = self._tag is None
        # The last block that the consumer had when the stream began.
        self._first_tip = chain.tip
        self._lagging = Lagging()
        self.fresh = False
        self.subscribed = True

    # What the driver tells.

    def connected(self, chain_id: int, *, subscribed: bool, quiet: float) -> None:
        """Take note of a new connection, before it is followed.

        Args:
            chain_id: The chain that its node is of.
            subscribed: Whether it announces blocks.
            quiet: Seconds without an announcement after which the newest block is asked
                for.
        """
        self.chain.of_chain(chain_id)
        self.subscribed = subscribed
        self.quiet = quiet

    def announced(self, head: Head) -> None:
        """Take note of an announcement."""
        blocks = self._announced
        self.fresh = True
        if blocks:
            last = blocks[-1]
            if (last.number + 1, last.hash) != (head.number, head.parentHash):
                blocks.clear()
        blocks.append(head)

    def missed(self) -> None:
        """Take note that announcements may be missing."""
        self._announced.clear()
        self.fresh = True

    def lost(self) -> None:
        """Take note that the connection has ended, and what it announced with it."""
        self._announced.clear()
        self.fresh = False

    def follow(self) -> Steps[None]:
        """Follow the chain on one connection.

        Raises:
            UnknownTag: The node does not know the tag, and nothing was told yet.
        """
        self._target = None
        yield from self._begin()
        yield from self._poll()
        if self._bypass:
            yield from self._bypass_final()
        while True:
            yield from self._reach_target()
            if self.fresh or (yield AwaitHint(self.quiet)):
                yield from self._hear()
            else:
                yield from self._probe()

    # Where to go.

    def _begin(self) -> Steps[None]:
        """Where there is nothing to link the next block to, find it."""
        chain = self.chain
        if chain.tip is not None or chain.next is None or chain.whole:
            return
        if chain.cursor is None:
            found = yield from ask(by_number(chain.next - 1))
            if found.head is not None:
                chain.anchor(found.head)
        else:  # behind a gap
            last = chain.cursor
            found = yield from ask_patiently(by_number(last.number), self._patience)
            if found.head is None or found.head.hash != last.hash:
                yield from start_over(chain)

    def _hear(self) -> Steps[None]:
        """Look at what was announced."""
        self.fresh = False
        blocks = list(self._announced)
        self._announced.clear()
        if not blocks or self._tag is not None:
            yield from self._poll()
            return
        newest, tip = blocks[-1], self.chain.tip
        is_below = tip is not None and newest.number < tip.number
        rewound = is_below and self.chain.has(newest)
        if rewound or self.chain.is_before(newest.number):
            yield from self._poll()
        elif self._depth == 0 and (new := self._linked(blocks)):
            self._lagging.over()
            yield from self.chain.accept(new, live=True)
        else:
            self._aim(newest, newest.number - self._depth)

    def _linked(self, blocks: list[Head]) -> list[Head]:
        """Return those of some blocks in sequence that follow the last one told."""
        tip = self.chain.tip
        for at, block in enumerate(blocks):
            if tip is not None and block.parentHash == tip.hash:
                return blocks[at:] if block.number == tip.number + 1 else []
        return []

    def _poll(self) -> Steps[None]:
        """Ask for the newest block, and make it the target."""
        if self._tag is not None:
            yield from self._poll_tag(self._tag)
            return
        found = yield from ask_patiently(by_tag("latest"), self._patience)
        if found.head is None:
            yield from self._lagging.tell("its newest block", found)
        else:
            newest = yield from self._judged(found.head)
            yield from self._remark_ahead(found.head)
            if newest is not None:
                self._aim(newest, newest.number - self._depth)

    def _poll_tag(self, tag: str) -> Steps[None]:
        """Ask for the newest block of a tag, and make it the target."""
        patience = 0.0 if self._tag_known else self._patience
        found = yield from ask_patiently(by_tag(tag), patience)
        confirmed, tip = found.head, self.chain.tip
        if confirmed is None:
            if not self._tag_known:
                yield from self._check_tag(found)
            return
        self._tag_known = True
        newest: Head | None = confirmed
        if tip is not None and confirmed.number < tip.number:
            # A back end that lags, or a chain that was made anew.
            newest = (yield from ask(by_tag("latest"))).head
            if newest is not None:
                newest = yield from self._judged(newest)
        yield from self._remark_ahead(confirmed)
        if newest is not None:
            self._aim(newest, confirmed.number)

    def _remark_ahead(self, newest: Head) -> Steps[None]:
        """Say so where a stream cannot begin, for the node does not know its place."""
        chain = self.chain
        if chain.next is None or chain.tip != self._first_tip:
            return
        last = chain.next - 1
        if newest.number < last:
            tag = "newest" if self._tag is None else f"newest {self._tag}"
            yield Remark(
                "ahead",
                f"it goes on after block {last}, but the {tag} block of the node is "
                f"{newest.number}; nothing is told before it has that block. Check "
                "after=, and whether the node is still syncing or of another chain",
            )

    def _judged(self, newest: Head) -> Steps[Head | None]:
        """Return the newest block, unless it is below what was told for good reason."""
        tip = self.chain.tip
        if tip is None or newest.number >= tip.number:
            return newest
        return (
            yield from judge_shorter(
                self.chain,
                newest,
                settle=self._settle,
                is_fresh=lambda: self.fresh,
            )
        )

    def _check_tag(self, found: BlockFound) -> Steps[None]:
        """Refuse a tag that the node does not know, while it knows its newest block."""
        failure = found.failure
        if not isinstance(failure, RPCError) or "not found" in failure.message.lower():
            return  # nothing is final yet
        if (yield from ask(by_tag("latest"))).head is not None:
            text = f"The node does not know the tag {self._tag!r}: {failure}"
            raise UnknownTag(text) from failure

    def _aim(self, newest: Head, number: int) -> None:
        """Go to a height, or look again at what was told, if that is higher.

        Args:
            newest: The newest block of the node.
            number: The height of the last block to tell, as the confirmations allow.
        """
        chain, tip = self.chain, self.chain.tip
        self._limit = number
        if number < 0:
            return
        if chain.next is None or (chain.is_unbegun and number < chain.next - 1):
            chain.begin_at(number)
        if tip is not None and number <= tip.number:
            number = min(newest.number, tip.number)
        known = newest.hash if number == newest.number else None
        self._target = None if chain.is_before(number) else _Target(number, known)

    # Going there.

    def _reach_target(self) -> Steps[None]:
        """Tell everything through the target."""
        chain = self.chain
        while (target := self._target) is not None:
            self._target = None
            assert chain.next is not None  # noqa: S101 - a target sets it
            if target.number >= chain.next:
                yield from self._climb(target)
            elif chain.tip is not None and not self._holds(target):
                yield from self._look_again(target.number)

    def _holds(self, target: _Target) -> bool:
        block = target.hash
        return block is not None and self.chain.holds(target.number, block)

    def _climb(self, target: _Target) -> Steps[None]:
        chain = self.chain
        before = chain.next
        ended_by = yield from climb(
            chain, target.number, window=self._window, chunk=self._chunk
        )
        if chain.next != before:
            self._lagging.over()
        if ended_by is None:
            return
        if isinstance(ended_by, Head):
            if not (yield from self._fork(ended_by)):
                return
        elif is_pruned(ended_by):
            yield from self._leave_out(ended_by)
        else:
            assert chain.next is not None  # noqa: S101 - it has climbed
            query = by_number(chain.next)
            found = yield from ask_patiently(query, self._patience)
            if found.head is None:
                what = f"block {chain.next}"
                if (yield from self._lagging.tell(what, found)):
                    yield from self._leave_out(found)
                return
        self._target = target

    def _look_again(self, number: int) -> Steps[None]:
        """Ask for the block at a height that was told, and follow it if it differs.

        If it does not, the announcement was stale.
        """
        found = yield from ask_patiently(by_number(number), self._patience)
        if found.head is None:
            yield from self._lagging.tell(f"block {number}", found)
        elif not self.chain.has(found.head) and (yield from self._fork(found.head)):
            upto = self.chain.next
            if upto is not None and upto <= number:
                self._target = _Target(number, found.head.hash)

    def _fork(self, head: Head) -> Steps[bool]:
        """Follow a block of another chain; return whether that was possible."""
        chain = self.chain
        before = chain.tip
        missing = yield from follow_fork(
            chain, head, patience=self._patience, limit=self._limit
        )
        if missing is not None:
            what = f"a parent of block {head.number}"
            if (yield from self._lagging.tell(what, missing)):
                yield from start_over(chain)
        if chain.tip == before:
            return False
        self._lagging.over()
        return True

    # What the node does not have.

    def _leave_out(self, missing: BlockFound) -> Steps[None]:
        """Tell a gap through the last block that is missing, if another follows."""
        chain = self.chain
        first = chain.next
        newest = (yield from ask(by_tag("latest"))).head
        if first is None or newest is None or newest.number <= first:
            return  # the chain ends here, as far as the node knows
        there = yield from first_present(first, newest.number, window=self._window)
        tip = chain.tip
        if tip is not None:
            # Nothing will link what was told to what comes behind the gap.
            last = yield from ask_patiently(by_number(tip.number), self._patience)
            if last.head is not None and last.head.hash != tip.hash:
                yield from self._fork(last.head)
                return
            first = None if last.head is None else first
        if is_pruned(missing):
            because: BackfillFailed = HistoryPruned(
                "The node does not have these blocks any more."
            )
        else:
            because = BackfillFailed("The node does not give out these blocks.")
        because.__cause__ = missing.failure
        yield from chain.gap(first, there - 1, because)

    # Silence.

    def _probe(self) -> Steps[None]:
        """Ask for the newest block; if it was not announced, subscribe anew."""
        before = self.chain.tip
        yield from self._poll()
        if self._target is None:
            return
        yield from self._reach_target()
        if self.chain.tip == before or not self.subscribed:
            return
        if not (self.fresh or (yield AwaitHint(self._settle))):
            yield Resubscribe()

    def _bypass_final(self) -> Steps[None]:
        """Leave finalized blocks to the driver, from the next one on."""
        chain = self.chain
        if chain.next is None or self._target is None:
            return
        final = (yield from ask(by_tag("finalized"))).head
        if final is None or min(final.number, self._target.number) < chain.next:
            return
        tip = chain.tip
        if tip is not None:
            found = yield from ask(by_number(tip.number))
            if found.head is None or found.head.hash != tip.hash:
                return  # a fork first
        yield from chain.bypass(min(final.number, self._target.number))
