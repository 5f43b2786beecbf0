"""Put the errors of a session into words, with the options of the command."""

from __future__ import annotations

import re
from typing import Final

from resilient_ws.errors import ResilientWSError


#: How the library's errors name what an option sets. Common words are replaced only at
#: the start of the text.
_OPTIONS: Final = {
    re.compile(r"Reconnect\.max_outage"): "--give-up-after",
    re.compile(r"Access\(allow_insecure=\s*True\)"): "--allow-insecure",
    re.compile(r"^headers\b"): "--header",
    re.compile(r"^on_open\b"): "--on-open",
    re.compile(r"^subprotocols\b"): "--subprotocol",
    re.compile(r"^url\b"): "URL",
    re.compile(r"^LogFilter\.address\b"): "--address",
    re.compile(r"^LogFilter\.topics(\[\d\])?"): "--topic",
    # No option sets a timeout.
    re.compile(r" \(timeouts\.\w+\)"): "",
}


def error_text(error: BaseException) -> str:
    """Return the text of a library's error, else its class: the text may be secret."""
    if isinstance(error, ResilientWSError):
        return with_option_names(str(error))
    return type(error).__name__


def with_option_names(text: str) -> str:
    """Replace the library's names in a text by those of the command's options."""
    for argument, option in _OPTIONS.items():
        text = argument.sub(option, text)
    return text
