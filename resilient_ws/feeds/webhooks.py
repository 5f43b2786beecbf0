"""Items as signed HTTP requests, after Standard Webhooks 1.0.

Rules: the id of a delivery stays the same in each attempt, the timestamp is that of the
attempt. Redirects are not followed. The URL, the secret and the answer never get into a
log or an error: a webhook's URL is often a secret itself.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from resilient_ws import Access
from resilient_ws.feeds.destinations import (
    Destination,
    KeptClient,
    destination,
    printable_headers,
    refusal_in,
)
from resilient_ws.feeds.errors import SinkBusy, SinkGone, Undeliverable
from resilient_ws.feeds.plain import because, plain
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import check_positive, require, whole_number
from resilient_ws.policy.failures import retry_after


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: What an answer may hold for its connection to be used again.
_MAX_ANSWER: Final = 65_536
#: A full stop in it would make another content of the same signature.
_ID: Final = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
_OURS: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})

_LATER: Final = frozenset({408, 425, 429})
_GONE: Final = 410
_OK: Final = range(200, 300)
_SERVER_ERROR: Final = 500


def webhook(
    url: str,
    secret: str | Iterable[str],
    *,
    body_of: Callable[[Any], bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 15.0,
    max_body: int = 1_048_576,
    access: Access | None = None,
    clock: Callable[[], float] = time.time,
) -> Webhook:
    """Return a sink that posts each item to a URL, signed as Standard Webhooks say.

    Entered with ``async with``, it keeps its connection between two items; otherwise
    each item has one of its own.

    ==================== ===============================================
    the receiver answers what happens
    ==================== ===============================================
    2xx                  the item is delivered
    410                  the relay ends with ``SinkGone``
    408, 425, 429, 5xx   another attempt, after ``Retry-After`` if given
    nothing in time      another attempt
    anything else        no other attempt: a redirect is not followed
    ==================== ===============================================

    Args:
        url: Where to; ``https://``, or ``http://`` as ``access`` allows.
        secret: What to sign with: ``whsec_`` and 24 to 64 bytes in Base64. Several
            while they are rotated: each signs.
        body_of: Makes a body of an item or a ``Gap``; by default JSON, with ``type``
            (``"item"`` or ``"gap"``) and ``data``.
        headers: Further headers; ``Content-Type`` is JSON unless they say otherwise.
        timeout: Seconds for an attempt (default 15).
        max_body: The bytes of the largest body (default 1 MiB).
        access: Where it may go, as for a session; ``Access(allow_private=False)``
            where the URL comes from somebody else. ``http://`` is treated as ``ws://``.
        clock: The wall clock, for the timestamp.

    Raises:
        SecurityError: ``access`` does not allow the URL.
        TypeError: A value of another type.
        ValueError: The URL, the secret, a header or a number cannot be used.
    """
    check_positive("timeout", timeout)
    whole_number("max_body", max_body, at_least=1)
    access = Access() if access is None else access
    return Webhook(
        destination=destination(url, access),
        keys=_keys(secret),
        body_of=_json if body_of is None else body_of,
        headers=_headers(headers),
        timeout=timeout,
        max_body=max_body,
        clock=clock,
    )


class Webhook(KeptClient):
    """A sink that posts signed items: see ``webhook``."""

    def __init__(
        self,
        *,
        destination: Destination,
        keys: tuple[bytes, ...],
        body_of: Callable[[Any], bytes],
        headers: Mapping[str, str],
        timeout: float,
        max_body: int,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(destination)
        self._keys = keys
        self._body_of = body_of
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._max_body = max_body
        self._clock = clock

    async def __call__(self, item: Any, delivery_id: str) -> None:
        """Post an item.

        Raises:
            SecurityError: ``access`` does not allow the address.
            SinkBusy: The receiver was not reached, or cannot take it now.
            SinkGone: The receiver answered 410.
            Undeliverable: The receiver refused it, or it is too large.

        Cancellation:
            The receiver may have taken it.
        """
        body = self._body_of(item)
        if len(body) > self._max_body:
            raise Undeliverable(
                f"The body of delivery {delivery_id} has {len(body)} bytes, more than "
                f"max_body ({self._max_body})."
            )
        headers = {**self._headers, **self._signed(delivery_id, body)}
        if self._http is not None:
            await self._post(self._http, body, headers)
            return
        async with self._destination.client() as client:
            await self._post(client, body, headers)

    def _signed(self, id: str, body: bytes) -> dict[str, str]:
        if not _ID.fullmatch(id):
            raise Undeliverable(
                "The id of a delivery must be up to 256 printable ASCII characters, "
                "without a space or a full stop."
            )
        timestamp = str(int(self._clock()))
        content = b".".join((id.encode(), timestamp.encode(), body))
        signatures = (
            base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
            for key in self._keys
        )
        return {
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
        }

    async def _post(
        self, client: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]
    ) -> None:
        where = self._destination
        try:
            async with client.post(
                where.url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as answer:
                status, fields = answer.status, dict(answer.headers)
                # The status says it all: an answer that breaks off changes nothing.
                await _drained(answer)
        except (aiohttp.ClientError, OSError) as failure:
            refusal = refusal_in(failure)
            if refusal is not None:
                raise refusal from None
            raise SinkBusy(
                f"{where.shown} was not reached ({type(failure).__name__})."
            ) from failure
        self._judge(status, fields)

    def _judge(self, status: int, fields: Mapping[str, str]) -> None:
        told = f"{self._destination.shown} answered {status}."
        if status in _OK:
            return
        if status == _GONE:
            raise SinkGone(told)
        if status >= _SERVER_ERROR or status in _LATER:
            lower = {name.lower(): value for name, value in fields.items()}
            raise SinkBusy(told, retry_after=retry_after(lower, self._clock()))
        raise Undeliverable(told)


async def _drained(answer: aiohttp.ClientResponse) -> None:
    """Read a short answer, so that its connection can be used again."""
    left = _MAX_ANSWER
    try:
        while left > 0 and not answer.content.at_eof():
            left -= len(await answer.content.read(left))
    except (aiohttp.ClientError, OSError):
        left = 0
    if left <= 0:
        answer.close()


def _keys(secret: str | Iterable[str] | None) -> tuple[bytes, ...]:
    if isinstance(secret, str):
        return (_key(secret),)
    # None: it came from an environment where it is not set.
    keys = () if secret is None else tuple(map(_key, secret))
    if not keys:
        raise ValueError("secret must not be empty.")
    return keys


def _key(secret: str) -> bytes:
    require(secret, str, "secret", "a str, or several")
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:  # noqa: PLR2004 - Standard Webhooks, signature scheme
        raise ValueError("secret must be whsec_ and 24 to 64 bytes in Base64.")
    return key


def _headers(given: Mapping[str, str] | None) -> dict[str, str]:
    headers = printable_headers(given)
    names = {name.lower() for name in headers}
    if names & _OURS:
        raise ValueError("headers must not hold webhook-*: those are the signature.")
    kind = {} if "content-type" in names else {"Content-Type": "application/json"}
    return {**kind, **headers}


_dumps: Final = functools.partial(json.dumps, separators=(",", ":"), allow_nan=False)


def _json(item: Any) -> bytes:
    if isinstance(item, Gap):
        data = {
            "key": item.key,
            "first_missing": item.first_missing,
            "until": item.until,
            "because": because(item),
        }
        return _dumps({"type": "gap", "data": data}, default=plain).encode()
    return _dumps({"type": "item", "data": item}, default=plain).encode()
