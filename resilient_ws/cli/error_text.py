"""Put the errors of a session into words, with the options of the command."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from resilient_ws.errors import ResilientWSError


_FRESH: Final = (
    "give url or headers as a callable that returns fresh ones, and check what they "
    "may do"
)
#: How the library's errors name what an option sets. Common words are replaced only at
#: the start of the text.
_OPTIONS: Final = {
    re.compile(r"Reconnect\.max_outage"): "--give-up-after",
    re.compile(r"Access\(allow_insecure=\s*True\)"): "--allow-insecure",
    re.compile(r"Liveness\.ping_(interval|timeout)"): "--ping",
    re.compile(r"Liveness\.idle_timeout"): "--idle",
    re.compile(r"^headers\b"): "--header",
    re.compile(r"^on_open\b"): "--on-open",
    re.compile(r"^subprotocols\b"): "--subprotocol",
    re.compile(r"^url\b"): "URL",
    re.compile(r"^origin\b"): "--origin",
    re.compile(r"^name\b"): "--name",
    re.compile(r"^(proxy must|proxy\b)"): r"--\1",
    re.compile(r"^LogFilter\.address\b"): "--address",
    re.compile(r"^LogFilter\.topics(\[\d\])?"): "--topic",
    # No option sets a timeout.
    re.compile(r" \(timeouts\.\w+\)"): "",
    re.compile(r"which Access\.blocked_ports lists"): "which browsers block too",
    # Remedies.
    re.compile(re.escape(_FRESH)): "check the URL, --header and --on-open",
    re.compile(r"put user:password@ into the proxy URL"): "put user:password@ into "
    "--proxy",
    re.compile(r"give ssl a context that trusts its issuer"): "give --cafile a file "
    "with its issuer",
    re.compile(
        r"give ssl a context that trusts it, such as "
        r"ssl\.create_default_context\(cafile=\.\.\.\)"
    ): "give --cafile a file with it",
    re.compile(r"give ssl a context with yours"): "this command has none to show",
    re.compile(
        r": load yours into the context given as ssl, with load_cert_chain\(\)"
    ): ", and this command has none to show",
    re.compile(
        r" \(load yours into the context given as ssl, with load_cert_chain\(\)\)"
    ): ", which this command has not",
    re.compile(r"pass it as the proxy instead, as"): "pass it as --proxy",
    re.compile(r"Pass it as the proxy instead, as"): "Pass it as --proxy",
    re.compile(r", raise your max_message_size"): ", they exceed what this command "
    "takes (4 MiB)",
    re.compile(r"; leave proxy out"): "; leave --proxy out",
    re.compile(r"or leave proxy='env' out"): "or leave --proxy env out",
}
#: What the library tells of an error of the system: its name, then asyncio's words.
_SYSTEM_ERROR: Final = re.compile(r"\((E[A-Z0-9]+), (?:[^()]|\([^()]*\))*\)")


def error_text(error: BaseException) -> str:
    """Return the text of a library's error, else its class: the text may be secret."""
    if isinstance(error, ResilientWSError):
        return with_option_names(str(error))
    return type(error).__name__


def with_option_names(text: str) -> str:
    """Put the library's names in a text into those of the command's options."""
    for argument, option in _OPTIONS.items():
        text = argument.sub(option, text)
    return _SYSTEM_ERROR.sub(_plainly, text)


def _plainly(found: re.Match[str]) -> str:
    """Return ``(connection refused)`` for ``(ECONNREFUSED, Connect call ...)``."""
    number = getattr(errno, found[1], None)
    return f"({system_words(number)})" if isinstance(number, int) else found[0]


def system_words(number: int) -> str:
    """Return the words for an errno, such as ``connection refused``."""
    words = os.strerror(number)
    return words[:1].lower() + words[1:]
