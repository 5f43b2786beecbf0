"""Hides what looks secret in a message before it is written down.

Rules: a value is hidden by its name in JSON or a form (``"token": "..."``), by its look
(a JSON Web Token, ``Bearer ...``), or because the user named it. Names stay, and so
does the JSON. No pattern can take more than linear time. What looks like nothing known
stays, so a recording is to be looked at before it is given away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN: Final = "***"
#: Parts of the names of secrets, in any case.
_NAME_PART: Final = (
    r"(?:token|secret|passw|passcode|passphrase|pwd|api[-_]?key|access[-_]?key|"
    r"private[-_]?key|listen[-_]?key|auth|signature|credential|cookie|jwt|"
    r"session[-_]?id)"
)
_IN_JSON: Final = re.compile(
    rf'("[^"\\]{{0,40}}?{_NAME_PART}[^"\\]{{0,40}}?"\s{{0,8}}:\s{{0,8}})'
    r'("(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+)',
    re.IGNORECASE | re.DOTALL,
)
#: ``"sign"`` alone, as exchanges have it: within longer names it is an English word.
_SIGN_IN_JSON: Final = re.compile(
    r'("(?:sign|sig|key|pass|user|login|username|email)"\s{0,8}:\s{0,8})'
    r'("(?:[^"\\]|\\.)*+")',
    re.IGNORECASE | re.DOTALL,
)
_IN_FORM: Final = re.compile(
    rf"(\b[\w.-]{{0,40}}?{_NAME_PART}[\w.-]{{0,40}}?[=:] {{0,4}})([^\s&;,\"'<>]++)",
    re.IGNORECASE,
)
_WEB_TOKEN: Final = re.compile(r"\beyJ[\w-]{8,}+\.[\w-]++(?:\.[\w-]*+)?")
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s++[\w.~+/=-]{8,}+", re.IGNORECASE)
#: A shorter secret would be found by chance.
_SHORTEST: Final = 4


def _secrets(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes):
        raise TypeError("secrets must be several, such as [api_key], not one str.")
    secrets = tuple(value)
    for one in secrets:
        if len(one) < _SHORTEST:
            raise ValueError(
                f"secrets must be texts of {_SHORTEST} characters or more, which "
                "would be found by chance otherwise."
            )
    # The longest first: one may be a part of another.
    return tuple(sorted(secrets, key=len, reverse=True))


@attrs.frozen
class Redaction:
    """What is hidden in messages.

    Args:
        secrets: Texts that are hidden wherever they are, in binary messages too.
    """

    secrets: tuple[str, ...] = attrs.field(default=(), converter=_secrets, repr=False)

    def of(self, data: str | bytes) -> str | bytes:
        """Return a message without what looks secret."""
        if isinstance(data, bytes):
            for secret in self.secrets:
                data = data.replace(secret.encode(), HIDDEN.encode())
            return data
        for secret in self.secrets:
            data = data.replace(secret, HIDDEN)
        data = _IN_JSON.sub(rf'\1"{HIDDEN}"', data)
        data = _SIGN_IN_JSON.sub(rf'\1"{HIDDEN}"', data)
        data = _WEB_TOKEN.sub(HIDDEN, data)
        data = _BEARER.sub(rf"\1 {HIDDEN}", data)
        return data if data[:1] in {"{", "["} else _IN_FORM.sub(rf"\1{HIDDEN}", data)
