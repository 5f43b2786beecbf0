"""The subscriptions and listeners of a channel, who are told together what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from resilient_ws.feeds.flow import Stage
from resilient_ws.feeds.listener import Listener
from resilient_ws.feeds.seat import Seat
from resilient_ws.feeds.statistics import ChannelStatistics


if TYPE_CHECKING:
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key


Member: TypeAlias = Seat | Listener


class Roster:
    """Those who have not ended, in the order in which they came."""

    __slots__ = ("_members", "_past")

    def __init__(self) -> None:
        # An ordered set.
        self._members: dict[Member, None] = {}
        # The counters of those who have ended.
        self._past = ChannelStatistics()

    def add(self, member: Member) -> None:
        """Take in a subscription or a listener."""
        self._members[member] = None

    def leave(self, member: Member, failure: Exception | None) -> None:
        """End one, for its consumer too, and forget it."""
        if member in self._members:
            del self._members[member]
            self._past = member.stream.added_to(self._past)
        member.finish(failure)

    def finish(self, failure: Exception | None) -> None:
        """End all of them."""
        for member in tuple(self._members):
            self.leave(member, failure)

    def opened(self, requests: Requests) -> None:
        """Tell that a connection is open."""
        for member in tuple(self._members):
            if member.ended:
                self.leave(member, None)  # the server refused it
            else:
                member.opened(requests)

    def lost(self) -> None:
        """Tell that the connection has ended."""
        for member in tuple(self._members):
            member.lost()

    def interrupted(self) -> None:
        """Tell that messages were lost on the way."""
        for member in tuple(self._members):
            member.interrupted()

    def holder_of(self, key: Key) -> Member | None:
        """Return whose key it is on this connection."""
        return next((one for one in self._members if one.has(key)), None)

    def statistics(self) -> ChannelStatistics:
        """Return the counters of all, the ended ones included."""
        counted = self._past
        for member in self._members:
            counted = member.stream.added_to(counted)
        streams = [member.stream for member in self._members]
        return attrs.evolve(
            counted,
            subscriptions=len(streams),
            live=sum(stream.stage is Stage.LIVE for stream in streams),
            waiting=sum(stream.waiting for stream in streams),
        )
