"""Reads the names and dates out of a certificate that was not accepted.

The ssl module tells them of accepted certificates only. This finds them in the DER
(RFC 5280), to say what is wrong. Nothing is trusted because of it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from typing import Final

import attrs


_DAY: Final = dt.timedelta(days=1)
#: Validity is a SEQUENCE of two times (section 4.1.2.5), each UTCTime or
#: GeneralizedTime.
_TIME: Final = rb"(?:\x17\x0d([0-9]{12})Z|\x18\x0f([0-9]{14})Z)"
_VALIDITY: Final = re.compile(_TIME + _TIME)
#: The extension subjectAltName (section 4.2.1.6), up to its GeneralNames.
_NAMES: Final = re.compile(rb"\x06\x03\x55\x1d\x11(?:\x01\x01\xff)?\x04")
_DNS_NAME: Final = 0x82
_IP_ADDRESS: Final = 0x87
_LONG_FORM: Final = 0x80
_MOST_NAMES: Final = 100


@attrs.frozen
class Certificate:
    """What a certificate says of itself.

    Attributes:
        since: When it begins to be valid, ``None`` if it cannot be read.
        until: When it expires, likewise.
        names: The hosts that it is for.
    """

    since: dt.datetime | None
    until: dt.datetime | None
    names: tuple[str, ...]

    def shown_names(self, most: int = 3) -> str:
        """Return a few of the names."""
        shown = ", ".join(self.names[:most])
        more = len(self.names) - most
        return f"{shown} and {more} more" if more > 0 else shown or "no name"


def read_certificate(der: bytes) -> Certificate:
    """Return what the certificate says; whatever cannot be read is left out."""
    found = _VALIDITY.search(der)
    since = until = None
    if found is not None:
        since, until = _moment(found[1], found[2]), _moment(found[3], found[4])
    return Certificate(since, until, tuple(_names(der)[:_MOST_NAMES]))


def _moment(short: bytes | None, long: bytes | None) -> dt.datetime | None:
    # %y takes 50 to 68 for 2050 to 2068, RFC 5280 for 1950 to 1968: no difference here.
    text, form = (long, "%Y%m%d%H%M%S") if long else (short or b"", "%y%m%d%H%M%S")
    try:
        return dt.datetime.strptime(text.decode(), form).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def _names(der: bytes) -> list[str]:
    found = _NAMES.search(der)
    if found is None:
        return []
    pos, _ = _length(der, found.end())
    pos, size = _length(der, pos + 1)
    names: list[str] = []
    end = min(pos + size, len(der))
    while pos + 2 <= end:
        tag = der[pos]
        pos, size = _length(der, pos + 1)
        value = der[pos : pos + size]
        if tag == _DNS_NAME:
            names.append(value.decode("ascii", "replace"))
        elif tag == _IP_ADDRESS and len(value) in {4, 16}:
            names.append(str(ipaddress.ip_address(value)))
        pos += size
    return names


def _length(der: bytes, pos: int) -> tuple[int, int]:
    """Return where a value begins, and its length."""
    if pos >= len(der):
        return len(der), 0
    first = der[pos]
    if first < _LONG_FORM:
        return pos + 1, first
    count = first - _LONG_FORM
    return pos + 1 + count, int.from_bytes(der[pos + 1 : pos + 1 + count])


def lifetime_left(until: dt.datetime, now: dt.datetime) -> str:
    """Return ``30 days``, or hours where there is less than a day."""
    left = until - now
    if left >= _DAY:
        return f"{left.days} day{'s' if left.days != 1 else ''}"
    return f"{max(0, int(left.total_seconds() // 3600))} hours"
