"""What became of a request, as web3 expects it: a response, or its own exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from web3.exceptions import ProviderConnectionError, TimeExhausted

from resilient_ws import ResilientWSError
from resilient_ws.feeds import CallTimeout, RPCError


if TYPE_CHECKING:
    from resilient_ws.feeds import SubscribeRefused

#: Of JSON-RPC 2.0, section 5.1.
INTERNAL_ERROR: Final = -32603


def exhausted(after: float) -> TimeExhausted:
    """Return what web3 raises where no answer came in time."""
    return TimeExhausted(f"The node did not answer within {after:g} s.")


def translated(failure: ResilientWSError) -> Exception:
    """Return what web3 calls a failure."""
    if isinstance(failure, CallTimeout):
        return exhausted(failure.after)
    return ProviderConnectionError(str(failure))


def response_to(id: Any, outcome: Any) -> dict[str, Any]:
    """Return the response to one request of a batch.

    Raises:
        ProviderConnectionError: The connection ended before the answer came.
        TimeExhausted: None came in time.
    """
    if isinstance(outcome, RPCError):
        return refused(id, outcome)
    if isinstance(outcome, ResilientWSError):
        raise translated(outcome) from outcome
    return {"jsonrpc": "2.0", "id": id, "result": outcome}


def refused(id: Any, refusal: RPCError | SubscribeRefused) -> dict[str, Any]:
    """Return the response that says how the node refused."""
    error = refusal if isinstance(refusal, RPCError) else refusal.__cause__
    if isinstance(error, RPCError):
        return error_to(id, error.code, error.message, error.data)
    return error_to(id, INTERNAL_ERROR, str(refusal))


def error_to(id: Any, code: int, text: str, data: object = None) -> dict[str, Any]:
    """Return a response with an error."""
    error: dict[str, Any] = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": id, "error": error}
