"""How a chain is followed: the arguments that ``heads`` and ``logs`` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.feeds.evm.chain import ToldChain
from resilient_ws.feeds.evm.connection import NodeCall
from resilient_ws.feeds.evm.cursor import Cursor
from resilient_ws.feeds.evm.follower import Follower
from resilient_ws.feeds.evm.limits import Limits
from resilient_ws.feeds.evm.tracker import Confirmations, Tracker
from resilient_ws.policy._validate import (
    check_callables,
    check_positive,
    require,
    whole_number,
)


if TYPE_CHECKING:
    from resilient_ws.feeds.evm.driving import Teller
    from resilient_ws.feeds.jsonrpc import Client
    from resilient_ws.feeds.pace import Pace


TAGS: Final = ("safe", "finalized")


def _position(after: object) -> int | Cursor | None:
    """Return where a stream goes on."""
    if isinstance(after, str):
        try:
            return Cursor.parse(after)
        except ValueError:
            text = "the text of a cursor, as str(item.cursor) made it"
            raise ValueError(f"after must be {text}.") from None
    if after is None or isinstance(after, Cursor):
        return after
    if isinstance(after, bool) or not isinstance(after, int):
        right = "a cursor or its text, the number of a block, or None"
        raise TypeError(f"after must be {right}, not {type(after).__name__}.")
    if after < 0:
        raise ValueError(f"after must be 0 or more, not {after}.")
    return after


@attrs.frozen(kw_only=True)
class Following:
    """Arguments that were checked; ``heads`` says what each means.

    Raises:
        TypeError: A value of another type.
        ValueError: A number is out of range, a tag that there is not, or the text of no
            cursor.
    """

    after: int | Cursor | None = attrs.field(converter=_position)
    confirmations: Confirmations
    max_reorg: int
    lag_patience: float
    settle: float
    stale_after: float
    poll_interval: float
    limits: Limits
    history: NodeCall | None

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be used."""
        whole_number("max_reorg", self.max_reorg, at_least=1)
        given: object = self.confirmations
        if not isinstance(given, str):
            whole_number("confirmations", given, at_least=0)
        elif given not in TAGS:
            text = f"a number, 'safe' or 'finalized', not {given!r}"
            raise ValueError(f"confirmations must be {text}.")
        for name in ("lag_patience", "settle", "stale_after", "poll_interval"):
            check_positive(name, getattr(self, name))
        require(self.limits, Limits, "limits", "a Limits")
        check_callables(history=self.history)

    def tracker(self, *, chunk: int = 1, bypass: bool = False) -> Tracker:
        """Return what follows the chain; see ``Tracker`` for the arguments."""
        return Tracker(
            ToldChain(self.max_reorg, self.after),
            confirmations=self.confirmations,
            lag_patience=self.lag_patience,
            settle=self.settle,
            window=self.limits.window,
            chunk=chunk,
            bypass=bypass,
        )

    def follower(
        self,
        client: Client,
        tracker: Tracker,
        teller: Teller,
        *,
        name: str,
        pace: Pace | None = None,
    ) -> Follower:
        """Return what asks the node; see ``Follower`` for the arguments."""
        return Follower(
            client,
            tracker,
            teller,
            name=name,
            stale_after=self.stale_after,
            poll_interval=self.poll_interval,
            limits=self.limits,
            pace=pace,
            history=self.history,
        )
