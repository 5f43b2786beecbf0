"""The file of a recording: lines of JSON, compressed if its name ends with ``.zst``.

Rules: what was written is on disk after each flush, so a killed process loses the last
moment only. The file is readable by its owner alone: it may hold what was not hidden.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The longest line that is read, in bytes. A message of 4 MiB is far below it.
MAX_LINE: Final = 64 * 1024 * 1024
_NEEDS_ZSTD: Final = "A file named .zst needs more: pip install 'resilient-ws[zstd]'"


def _zstandard() -> Any:  # noqa: ANN401 - a module
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ValueError(_NEEDS_ZSTD) from None
    return zstandard


def check(path: Path) -> None:
    """Refuse a compressed file where zstandard is missing."""
    if path.suffix == ".zst":
        _zstandard()


class LineWriter:
    """Writes lines to a new file. Its methods block: they are for a thread.

    Raises:
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        # Not through a link that another user of the machine put there.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        self._file: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "wb")
        self._compressor: Any = None
        if path.suffix == ".zst":
            self._compressor = _zstandard().ZstdCompressor().compressobj()
        #: Bytes in the file so far.
        self.size = 0

    def write(self, lines: list[str]) -> None:
        """Append lines, and hand all of it to the kernel."""
        data = "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
        if self._compressor is not None:
            block = _zstandard().COMPRESSOBJ_FLUSH_BLOCK
            data = self._compressor.compress(data) + self._compressor.flush(block)
        self._file.write(data)
        self._file.flush()
        self.size += len(data)

    def close(self) -> None:
        """End the file."""
        try:
            if self._compressor is not None:
                self._file.write(self._compressor.flush())
        finally:
            self._file.close()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each whole line.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not what its name says, or a line is too long.
    """
    check(path)
    with path.open("rb") as file:
        stream = cast("BinaryIO", file)
        if path.suffix == ".zst":
            made = _zstandard().ZstdDecompressor().stream_reader(file)
            stream = cast("BinaryIO", io.BufferedReader(made))
        number = 0
        while raw := _next_line(stream, path):
            number += 1
            if not raw.endswith(b"\n"):
                if len(raw) >= MAX_LINE:
                    raise ValueError(f"{path}: line {number} is too long")
                # The process was killed while it wrote this one.
                return
            try:
                yield number, raw.decode(errors="surrogatepass")
            except UnicodeDecodeError:
                raise ValueError(f"{path}: line {number} is not UTF-8") from None


def _next_line(stream: BinaryIO, path: Path) -> bytes:
    try:
        return stream.readline(MAX_LINE)
    except OSError:
        raise
    except Exception as damaged:
        # zstandard has an exception of its own, which is named in no public base.
        if type(damaged).__name__ != "ZstdError":
            raise
        raise ValueError(f"{path} is damaged, or is not compressed by zstd") from None
