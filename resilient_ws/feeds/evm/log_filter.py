"""Which logs a user wants, checked before the node sees it.

A node answers a filter that is slightly wrong with an error that names nothing, or with
no logs at all. So a filter is strict: an address has 20 bytes, a topic 32.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import attrs


#: An address, or several of which one is enough; ``None`` or an empty list for any.
Addresses: TypeAlias = str | Sequence[str] | None
#: What is wanted at each position: a topic, several of which one is enough, or any.
Topics: TypeAlias = Sequence[str | Sequence[str] | None]

#: Positions of topics in a log.
MAX_TOPICS: Final = 4
#: Values at one position; geth takes no more than these.
MAX_VALUES: Final = 1_000

_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_TOPIC: Final = re.compile(r"0x[0-9a-f]{64}")


def _addresses(value: Addresses) -> tuple[str, ...]:
    if value is None:
        return ()
    return _values("LogFilter.address", value, _ADDRESS, "an address of 20 bytes")


def _topics(value: Topics | None) -> tuple[tuple[str, ...], ...]:
    if value is None:
        return ()
    if not _is_list(value):
        raise TypeError(
            "LogFilter.topics must be a list with what is wanted at each position: "
            "write topics=[topic] for the first."
        )
    if len(value) > MAX_TOPICS:
        raise ValueError(
            f"LogFilter.topics must have at most {MAX_TOPICS} positions, not "
            f"{len(value)}: write topics=[[a, b]] for a or b at the first."
        )
    positions = tuple(
        ()
        if each is None
        else _values(f"LogFilter.topics[{at}]", each, _TOPIC, "a topic of 32 bytes")
        for at, each in enumerate(value)
    )
    # Nodes differ on whether a free position at the end needs a topic there: geth says
    # yes, anvil no. Without it, all give the same logs.
    while positions and not positions[-1]:
        positions = positions[:-1]
    return positions


def _values(
    name: str, value: Any, pattern: re.Pattern[str], right: str
) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not _is_several(value):
        raise TypeError(
            f"{name} must be {right} as hex with 0x, a list of them, or None for any."
        )
    values: dict[str, None] = {}
    for each in value:
        if not isinstance(each, str):
            kind = type(each).__name__
            raise TypeError(
                f"{name} must be {right} as hex with 0x, not of type {kind}."
            )
        plain = each.lower()
        if not pattern.fullmatch(plain):
            raise ValueError(
                f"{name} must be {right} as hex with 0x, not {each[:80]!r}."
            )
        values[plain] = None
    if len(values) > MAX_VALUES:
        raise ValueError(
            f"{name} must have at most {MAX_VALUES} values, not {len(values)}: nodes "
            "take no more. Use several filters, or pick from the logs yourself."
        )
    return tuple(values)


def _is_list(value: object) -> bool:
    """Return whether there is an order in a value, for users without a type checker."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_several(value: object) -> bool:
    """Return whether a value holds several, and they are no bytes."""
    if isinstance(value, bytes | bytearray | dict):
        return False
    return isinstance(value, Iterable)


@attrs.frozen(kw_only=True)
class LogFilter:
    """Which logs are wanted.

    Attributes:
        addresses: The contracts that emit them, in lower case; empty for all. The
            argument is ``address``: one as hex, several, or ``None`` (default).
        topics: For each position, the topics of which the log has one; empty where any
            will do. As an argument, a position may be a topic, several, or ``None``:
            ``[transfer, None, [a, b]]`` is ``transfer`` at the first, and ``a`` or
            ``b`` at the third.

    Raises:
        TypeError: A value of another type.
        ValueError: A value that is neither address nor topic, or too many.
    """

    addresses: tuple[str, ...] = attrs.field(
        alias="address", default=None, converter=_addresses
    )
    topics: tuple[tuple[str, ...], ...] = attrs.field(default=(), converter=_topics)

    def criteria(self) -> dict[str, Any]:
        """Return the filter as ``eth_getLogs`` takes it, without blocks."""
        criteria: dict[str, Any] = {}
        if self.addresses:
            criteria["address"] = list(self.addresses)
        if self.topics:
            criteria["topics"] = [list(each) or None for each in self.topics]
        return criteria

    def matches(self, address: str, topics: Sequence[str]) -> bool:
        """Return whether a log is wanted.

        Args:
            address: Its address, in lower case.
            topics: Its topics, in lower case.
        """
        if self.addresses and address not in self.addresses:
            return False
        if len(topics) < len(self.topics):
            return False
        return all(
            not wanted or topic in wanted
            for wanted, topic in zip(self.topics, topics, strict=False)
        )
