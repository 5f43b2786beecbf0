"""Received bytes that are kept for later: there is no room, or they are not enough.

Rules. They stay in order. A chunk that is taken bit by bit is kept as it came, with
the place up to which it was taken, or each bit would cost a copy of the rest.
"""

from __future__ import annotations


class Held:
    """Bytes that were received and not parsed."""

    __slots__ = ("_at", "_chunks")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        # Where they start in the first chunk.
        self._at = 0

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._chunks)

    def add(self, data: bytes) -> None:
        """Put bytes behind those that wait already."""
        if self._chunks:
            # What was parsed must go now, or a slow owner would keep it for ever.
            self._chunks[0] = self._chunks[0][self._at :]
            self._at = 0
        self._chunks.append(data)

    def all(self) -> tuple[bytes, int]:
        """Return them as one, and where in it they start; they stay until ``keep``."""
        # A join of one item is that item: going on copies nothing.
        return b"".join(self._chunks), self._at

    def keep(self, data: bytes, pos: int, *, whole: bool) -> None:
        """Keep what is left of ``data``, in place of what there was.

        Args:
            data: What was parsed.
            pos: Up to where it was.
            whole: Whether much may be left, and taken bit by bit.
        """
        if pos == len(data):
            self._chunks, self._at = [], 0
        elif whole:
            self._chunks, self._at = [data], pos
        else:
            self._chunks, self._at = [data[pos:]], 0
