"""Which subscriptions of MQTT a message is for: topic filters and their numbers."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Collection


#: Topics whose filters are kept.
_MAX_TOPICS: Final = 1024


class Filters:
    """The filters of a client, each with the number that brokers of version 5 tell."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        # The filters of each topic.
        self._known: dict[str, list[str]] = {}

    def add(self, filter: str) -> int:
        """Take note of a filter; return its number.

        It is the same in each life of this program, because the broker remembers it.
        """
        number = self._numbers[filter] = zlib.crc32(filter.encode()) % 0xFFFFFFF + 1
        self._known.clear()
        return number

    def of(self, topic: str, numbers: Collection[int] = ()) -> list[str]:
        """Return the filters that a message is for; its topic, where there is none.

        Args:
            topic: The topic of the message.
            numbers: The numbers of the filters that it is for, where the broker tells.
        """
        found = self._matching(topic)
        told = [name for name in found if self._numbers[name] in numbers]
        return told or found or [topic]

    def _matching(self, topic: str) -> list[str]:
        if topic not in self._known:
            if len(self._known) >= _MAX_TOPICS:
                self._known.clear()
            found = [name for name in self._numbers if matches(name, topic)]
            self._known[topic] = found
        return self._known[topic]


def matches(filter: str, topic: str) -> bool:
    """Whether a topic filter takes a topic (section 4.7 of the standard)."""
    levels = filter.split("/")
    if levels[0] == "$share":
        levels = levels[2:]
    names = topic.split("/")
    if topic.startswith("$") and levels[:1] != names[:1]:
        return False  # a wildcard does not begin with what is the broker's own
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index == len(names) or level not in {"+", names[index]}:
            return False
    return len(levels) == len(names)
