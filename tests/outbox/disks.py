"""A file system small enough to be filled by a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.servers.process import missing


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a tmpfs of ``size`` bytes on a new folder, and unmount it afterwards."""
    if os.geteuid() != 0:
        missing("a small tmpfs", "run the tests as root")
    folder.mkdir()
    mount(folder, f"size={size}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


def mount(folder: Path, *options: str) -> None:
    """Mount a tmpfs, or mount it again with other options."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    subprocess.run(command, check=True, timeout=60)
