"""A node behind HTTP, for the history of a chain.

Rules: one request a call, over connections that are kept. What the server answers is
bounded. What a node says is an ``RPCError``, also where it is said by a status alone;
where nobody was reached, that is an ``OSError``. Neither shows the URL.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from resilient_ws import Access
from resilient_ws.feeds.destinations import (
    KeptClient,
    destination,
    printable_headers,
    refusal_in,
)
from resilient_ws.feeds.errors import CallTimeout, RPCError
from resilient_ws.feeds.json import dumps, is_object, loads
from resilient_ws.policy._validate import check_positive, whole_number
from resilient_ws.policy.failures import retry_after


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: Statuses that mean: later.
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOO_MANY_REQUESTS: Final = 429
_OK: Final = range(200, 300)


class HTTPEndpoint(KeptClient):
    """Calls a node over HTTP: give its ``call`` as ``history=``.

    ::

        async with HTTPEndpoint("https://archive.example.com/KEY") as archive:
            async for item in logs(client, wanted, after=0, history=archive.call):
                ...

    Args:
        url: Where the node is; ``https://``, or ``http://`` as ``access`` allows.
        headers: Further headers.
        timeout: Seconds for a call (default 30).
        max_answer: The bytes of the largest answer (default 32 MiB).
        access: Where it may go, as for a session.

    Raises:
        SecurityError: ``access`` does not allow the URL.
        TypeError: A value of another type.
        ValueError: The URL or a number cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        max_answer: int = 33_554_432,
        access: Access | None = None,
    ) -> None:
        check_positive("timeout", timeout)
        whole_number("max_answer", max_answer, at_least=1)
        given = printable_headers(headers)
        super().__init__(destination(url, Access() if access is None else access))
        self._headers = {"Content-Type": "application/json", **given}
        self._after = timeout
        self._max_answer = max_answer
        self._ids = itertools.count(1)

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Call a method, and return its result.

        Args:
            method: The method.
            params: Its parameters.

        Raises:
            CallTimeout: No answer came in time.
            ConnectionError: The node was not reached, or answered with no JSON-RPC.
            RPCError: The node answered with an error, or with a status that is one.
            RuntimeError: The endpoint was not entered.
            SecurityError: ``access`` does not allow the address.

        Cancellation:
            The answer is no longer expected.
        """
        if self._http is None:
            raise RuntimeError(
                "Enter the endpoint first: async with HTTPEndpoint(...)."
            )
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method}
        status, fields, body = await self._post(
            self._http, dumps({**request, "params": list(params)})
        )
        return self._result(status, fields, body)

    async def _post(
        self, http: aiohttp.ClientSession, data: str | bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with http.post(
                self._destination.url,
                data=data,
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._after),
            ) as answer:
                body = await self._read(answer)
                return answer.status, answer.headers, body
        except TimeoutError:
            text = f"{self._destination.shown} did not answer within {self._after:g} s."
            raise CallTimeout(text, after=self._after, maybe_executed=True) from None
        except (aiohttp.ClientError, OSError) as failure:
            refusal = refusal_in(failure)
            if refusal is not None:
                raise refusal from None
            kind = type(failure).__name__
            text = f"{self._destination.shown} was not reached ({kind})."
            raise ConnectionError(text) from None

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_chunked(65_536):
            body += piece
            if len(body) > self._max_answer:
                answer.close()
                text = (
                    "response is too large: more than "
                    f"max_answer ({self._max_answer} bytes)"
                )
                raise RPCError(answer.status, text)
        return bytes(body)

    def _result(self, status: int, fields: Mapping[str, str], body: bytes) -> Any:
        """Return the result. An error of the node may come with any status."""
        try:
            answer = loads(body)
        except Exception:  # noqa: BLE001 - decoders differ, and RecursionError is among them
            answer = None
        error = answer.get("error") if is_object(answer) else None
        if is_object(error):
            code, text = error.get("code"), error.get("message")
            if status != _TOO_MANY_REQUESTS:
                code = code if isinstance(code, int) else status
                text = text if isinstance(text, str) else ""
                raise RPCError(code, text, error.get("data"))
        if status in _LATER:
            lower = {name.lower(): value for name, value in fields.items()}
            seconds = retry_after(lower, time.time())
            text = f"try again later (HTTP {status})"
            data = {"rate": {"backoff_seconds": seconds}} if seconds else None
            raise RPCError(_TOO_MANY_REQUESTS, text, data)
        if status in _OK and is_object(answer) and "result" in answer:
            return answer["result"]
        if status in _OK:
            text = f"{self._destination.shown} answered with no JSON-RPC."
            raise ConnectionError(text)
        raise RPCError(status, f"HTTP {status}")
