"""Received bytes that are kept for later: there is no room, or they are not enough.

Rules. They stay in order. A chunk that is taken bit by bit is kept as it came, with
the place up to which it was taken, or each bit would cost a copy of the rest.
"""

from __future__ import annotations


class Held:
    """Bytes that were received and not parsed."""

    __slots__ = ("_at", "chunks")

    def __init__(self) -> None:
        #: What there is; for others to see whether there is any.
        self.chunks: list[bytes] = []
        # Where they start in the first chunk.
        self._at = 0

    def add(self, data: bytes) -> None:
        """Put bytes behind those that wait already."""
        if self.chunks:
            # What was parsed must go now, or a slow owner would keep it for ever.
            self.chunks[0] = self.chunks[0][self._at :]
            self._at = 0
        self.chunks.append(data)

    def all(self) -> tuple[bytes, int]:
        """Return them as one, and where in it they start; they stay until ``keep``."""
        # A join of one item is that item: going on copies nothing.
        return b"".join(self.chunks), self._at

    def keep(self, view: memoryview, pos: int, *, whole: bool) -> None:
        """Keep what is left of a chunk, in place of what there was.

        Args:
            view: What was parsed; what is not ours to keep is copied.
            pos: Up to where it was.
            whole: Whether much may be left, and taken bit by bit.
        """
        chunk = view.obj
        if pos == len(view):
            self.chunks, self._at = [], 0
        elif whole and isinstance(chunk, bytes):
            self.chunks, self._at = [chunk], pos
        else:
            self.chunks, self._at = [view[pos:].tobytes()], 0
