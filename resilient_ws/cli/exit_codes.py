"""The exit codes of the command."""

from __future__ import annotations

from typing import Final


#: Everything was done, or the command was told to stop.
DONE: Final = 0
#: The session gave up, a stream or a file failed, the probe found that a server does
#: not work, or the demo found a loss.
FAILED: Final = 1
#: An argument is wrong, or something that the command needs is missing.
BAD_ARGUMENTS: Final = 2
#: Ctrl-C ended the command before it was done.
INTERRUPTED: Final = 130
