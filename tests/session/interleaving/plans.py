"""What the server and the user of one session do: plans, as Hypothesis draws them.

A plan is plain data with a repr that can be read, for it is what a failure shows.
Waits are a few values that meet: most of what goes wrong happens at the same instant.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs
from hypothesis import strategies as st


Greeting: TypeAlias = Literal["accept", "reject", "hang", "drop", "reset"]

Step: TypeAlias = Literal[
    "send",  # messages, stamped with the attempt they belong to
    "ping",
    "stray pongs",  # answers to pings of connections that are over, or to none
    "close",  # and go on: what follows is too late
    "freeze",  # read nothing; the kernel still takes bytes
    "thaw",
    "mute",  # answer no more pings
    "half close",
    "drop",
    "reset",
]

Act: TypeAlias = Literal[
    "send",
    "send large",
    "send for a moment",  # with a ttl
    "send if open",
    "send and cancel",
    "read",
    "reconnect",
    "reconnect elsewhere",
    "retry now",
    "close",
    "turns",  # of the loop: no time, but everybody else
    "poke",  # a connection that is over, as its transport might
]

Restore: TypeAlias = Literal[
    "nothing", "send", "receive", "sleep", "raise", "close", "send by session"
]

Reaction: TypeAlias = Literal[
    "raise", "cancel", "sleep", "never return", "send", "close", "reconnect"
]

Occasion: TypeAlias = Literal["opened", "dropped", "failed", "state"]

#: Seconds of virtual time; 2 is the ping interval and its time-out as well.
WAITS: Final = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0])
COUNTS: Final = st.sampled_from([1, 1, 2, 3, 8])


@attrs.frozen(kw_only=True)
class Doing:
    """One step of a server, or one act of a user."""

    after: float
    what: str
    count: int


@attrs.frozen(kw_only=True)
class ServerPlan:
    """How the server treats one connection."""

    greeting: Greeting = "accept"
    after: float = 0.0
    #: Messages in one packet with the 101.
    at_once: int = 0
    code: int | None = 1001
    status: int = 503
    answers_close: bool = True
    steps: tuple[Doing, ...] = ()


@attrs.frozen(kw_only=True)
class UserPlan:
    """How the session is set up, and what is done with it."""

    overflow: Literal["pause", "drop_oldest", "drop_newest", "close"] = "pause"
    max_messages: int = 1024
    outbox: Literal["raise", "wait", "drop_oldest", "drop_newest"] = "raise"
    outbox_messages: int = 1000
    wait: float = 0.5
    stable_after: float = 10.0
    max_age: float | None = None
    #: Of each attempt in turn, the last one for the rest; empty for no ``on_open``.
    restores: tuple[Restore, ...] = ()
    reactions: tuple[tuple[Occasion, Reaction], ...] = ()
    #: The first actor also reads.
    actors: tuple[tuple[Doing, ...], ...] = ()
    #: Whether a task reads all the time; else messages wait until they are read.
    reads_always: bool = True


def _doings(kinds: list[str], most: int) -> st.SearchStrategy[tuple[Doing, ...]]:
    doing = st.builds(Doing, after=WAITS, what=st.sampled_from(kinds), count=COUNTS)
    return st.lists(doing, min_size=1, max_size=most).map(tuple)


STEPS: Final = (
    ["send"] * 6
    + ["close"] * 3
    + ["ping", "stray pongs", "freeze", "freeze", "thaw", "mute"]
    + ["half close", "half close", "drop", "drop", "reset"]
)

#: The codes that end a session, at once or in the end, are the exception.
CODES: Final = st.sampled_from(
    [1000, 1001, 1001, None, 1011, 1012, 1013, 4000, 4000, 1008, 1009]
)

SERVERS: Final = st.lists(
    st.builds(
        ServerPlan,
        greeting=st.sampled_from(["accept"] * 9 + ["reject", "hang", "drop", "reset"]),
        after=WAITS,
        at_once=st.sampled_from([0, 0, 1, 3]),
        code=CODES,
        status=st.sampled_from([503, 503, 429, 500, 401]),
        answers_close=st.sampled_from([True, True, True, False]),
        steps=_doings(STEPS, 6),
    ),
    min_size=1,
    max_size=6,
)

ACTS: Final = (
    ["send"] * 4
    + ["read"] * 3
    + ["reconnect"] * 2
    + ["send large", "send for a moment", "send if open", "send and cancel"]
    + ["reconnect elsewhere", "retry now", "close", "turns", "turns", "poke", "poke"]
)

USERS: Final = st.builds(
    UserPlan,
    overflow=st.sampled_from(
        ["pause", "pause", "drop_oldest", "drop_oldest", "drop_newest", "close"]
    ),
    max_messages=st.sampled_from([1, 2, 2, 5, 1024]),
    outbox=st.sampled_from(["raise", "wait", "drop_oldest", "drop_newest"]),
    outbox_messages=st.sampled_from([2, 1000, 1000]),
    wait=st.sampled_from([0.0, 0.5, 0.5, 3.0]),
    stable_after=st.sampled_from([0.1, 1.0, 10.0]),
    max_age=st.sampled_from([None, None, None, 3.0]),
    restores=st.one_of(
        st.just(()),
        st.lists(
            st.sampled_from(
                ["nothing"] * 4
                + ["send"] * 2
                + ["receive", "sleep", "raise", "close", "send by session"]
            ),
            min_size=1,
            max_size=4,
        ).map(tuple),
    ),
    reactions=st.lists(
        st.tuples(
            st.sampled_from(["opened", "dropped", "failed", "state"]),
            st.sampled_from(
                [
                    "raise",
                    "cancel",
                    "sleep",
                    "never return",
                    "send",
                    "close",
                    "reconnect",
                ]
            ),
        ),
        max_size=3,
    ).map(tuple),
    actors=st.lists(_doings(ACTS, 10), min_size=1, max_size=3).map(tuple),
    reads_always=st.booleans(),
)
