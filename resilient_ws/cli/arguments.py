"""Read the URL, headers and messages from arguments, files and the environment.

Every user of the machine can read a command line. A file and the environment can be
kept private.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

URL_VARIABLE: Final = "RESILIENT_WS_URL"
HEADERS_VARIABLE: Final = "RESILIENT_WS_HEADERS"

#: The largest file, in bytes. Headers and URLs are far shorter.
_MAX_SIZE: Final = 64 * 1024


def read_url(url: str | None, file: str | None) -> str:
    """Return the URL from the argument, the file or the environment, in this order.

    Raises:
        ValueError: There is no URL, or two, or the file cannot be read.
    """
    if url is not None and file is not None:
        raise ValueError("give URL or --url-file, not both")
    if url is not None:
        return url
    if file is None:
        given = os.environ.get(URL_VARIABLE, "")
        if not given:
            msg = f"URL is missing: give URL or --url-file FILE, or set {URL_VARIABLE}"
            raise ValueError(msg)
        return given
    lines = _lines_of(file, "--url-file")
    if len(lines) != 1:
        raise ValueError(f"--url-file: {file} must hold one line, which is the URL")
    return lines[0]


def read_headers(arguments: Sequence[str]) -> dict[str, str]:
    """Return the headers from ``Name: value`` arguments, files and the environment.

    Raises:
        ValueError: A header has no name, a name is repeated, or a file cannot be read.
    """
    headers: dict[str, str] = {}
    for source, line in _header_lines(arguments):
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name:
            # The value may be a secret, so the line is not shown.
            raise ValueError(f"{source} must look like 'Name: value'")
        if name.lower() in map(str.lower, headers):
            msg = f"{source} gives {name!r} twice; join the values with a comma"
            raise ValueError(msg)
        headers[name] = value.strip()
    return headers


def read_token(file: str) -> str:
    """Return the token that a file holds.

    Raises:
        ValueError: It cannot be read, or does not hold one line.
    """
    lines = _lines_of(file, "--token-file")
    if len(lines) != 1:
        raise ValueError(f"--token-file: {file} must hold one line, which is the token")
    return lines[0]


def read_messages(arguments: Sequence[str]) -> list[str]:
    """Return the messages from ``TEXT`` arguments and from files, one per line.

    Raises:
        ValueError: A file cannot be read.
    """
    return [
        message
        for argument in arguments
        for message in (
            _lines_of(argument[1:], "--on-open")
            if argument.startswith("@")
            else [argument]
        )
    ]


def _header_lines(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the source and the line of each header."""
    for line in os.environ.get(HEADERS_VARIABLE, "").splitlines():
        if line.strip():
            yield HEADERS_VARIABLE, line
    for argument in arguments:
        if argument.startswith("@"):
            file = argument[1:]
            for line in _lines_of(file, "--header"):
                yield f"--header: each line of {file}", line
        else:
            yield "--header", argument


def _lines_of(file: str, option: str) -> list[str]:
    """Return the lines of a file, without the empty ones."""
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - Path("") is ".", and "" must fail
            content = opened.read(_MAX_SIZE + 1)
    except (OSError, ValueError) as failure:
        why = getattr(failure, "strerror", None) or "not a path"
        raise ValueError(f"{option}: {file} cannot be read: {why}") from None
    if len(content) > _MAX_SIZE:
        raise ValueError(f"{option}: {file} is larger than {_MAX_SIZE // 1024} KiB")
    try:
        # Some editors begin a file with a byte order mark.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{option}: {file} is not UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
