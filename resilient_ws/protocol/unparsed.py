"""Keeps received bytes that cannot be parsed yet.

Rules. The bytes stay in order. A chunk that will be parsed in several calls is kept
whole, with the position reached so far, because removing the parsed part after each
call would copy the rest of it each time.
"""

from __future__ import annotations


class Unparsed:
    """Holds bytes that were received and not parsed.

    Attributes:
        chunks: What is held. Read it to see whether there is anything; only the methods
            change it.
    """

    __slots__ = ("_start", "chunks")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        # The position of the first unparsed byte in the first chunk.
        self._start = 0

    def append(self, data: bytes) -> None:
        """Add bytes behind those that are held already."""
        if self.chunks:
            # Drop the parsed part now, or a slow owner would keep it for ever.
            self.chunks[0] = self.chunks[0][self._start :]
            self._start = 0
        self.chunks.append(data)

    def joined(self) -> tuple[memoryview, int]:
        """Return all chunks as one, and the position of the first unparsed byte in it.

        The bytes stay held until ``replace``.
        """
        # Joining a list of one item returns that item, so going on copies nothing.
        return memoryview(b"".join(self.chunks)), self._start

    def take(self) -> bytes:
        """Return what is held, and hold it no more."""
        data = b"".join(self.chunks)[self._start :]
        self.chunks, self._start = [], 0
        return data

    def replace(self, view: memoryview, pos: int, *, in_place: bool) -> None:
        """Hold the bytes of ``view`` from ``pos`` on, in place of all others.

        Args:
            view: The bytes that were being parsed.
            pos: Where parsing stopped.
            in_place: Whether to keep the whole chunk if it is ours to keep. Do so if
                parsing stopped early: much may be left, to be parsed in many calls.
        """
        chunk = view.obj
        if pos == len(view):
            self.chunks, self._start = [], 0
        elif in_place and isinstance(chunk, bytes):
            self.chunks, self._start = [chunk], pos
        else:
            self.chunks, self._start = [view[pos:].tobytes()], 0
