"""How long a verdict must stand before the session obeys it.

Rules: before the first open connection a fatal verdict is final, because it means that
the configuration is wrong. Later it is final only when it has *stood* for
``fatal_after``: a router that answers 404 for some minutes during a deployment must not
brick a fleet. A verdict stands from the first fatal ending until an ending that may be
retried, or a stable connection; meanwhile the session dials at the longest delay.
``Fatal`` from user code is final at once, and so is a mistake in ``on_open`` before the
first open connection. Every member of a round has its own record.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from resilient_ws.errors import Fatal, HandshakeRejected, ResilientWSError, mistake
from resilient_ws.policy.failures import (
    Ending,
    Verdict,
    default_verdict,
    extra_delay,
)
from resilient_ws.policy.outage import longest_wait
from resilient_ws.policy.retry_delay import NO_EXTRA, RetryDelay


if TYPE_CHECKING:
    from collections.abc import Hashable

    from resilient_ws.policy.reconnect import Reconnect

#: Two endings with equal signatures are the same: who, what kind, number or stage.
Signature: TypeAlias = tuple[object, ...]


@attrs.frozen(kw_only=True)
class Judgement:
    """An ending, and what it means for the session.

    Attributes:
        ending: The ending that was judged.
        final: Whether the session, or this member of a round, is to end.
        failure: The error with which it ends if it ends now: the exception of the
            ending, a ``Fatal`` that ``classify`` raised, or a ``Fatal`` about a mistake
            in ``on_open``.
        stands: Whether a fatal verdict stands but is not final yet.
        fresh: Whether the next attempt needs a fresh URL and fresh headers.
        extra: The delay that the ending adds to the policy's wait.
        complaint: The exception that ``classify`` raised, to be reported.
    """

    ending: Ending
    final: bool
    failure: Exception
    stands: bool = False
    fresh: bool = False
    extra: RetryDelay = NO_EXTRA
    complaint: Exception | None = None


@attrs.define
class _Record:
    """The verdicts on one member since its last plain retry or stable connection."""

    #: The time of the first fatal verdict, ``None`` before it.
    since: float | None = None
    #: The endings that have had their one retry with fresh credentials.
    refreshed: set[Signature] = attrs.Factory(set[Signature])


class Judge:
    """Turns endings into judgements, for the whole life of a session.

    Args:
        policy: The policy with the ``classify``, waits and caps to apply.
    """

    __slots__ = ("_policy", "_records", "_was_open")

    def __init__(self, policy: Reconnect) -> None:
        self._policy: Final = policy
        self._was_open = False
        self._records: dict[Hashable, _Record] = {}

    def note_open(self) -> None:
        """Note that a connection is open, so the configuration has worked once."""
        self._was_open = True

    def note_stable(self) -> None:
        """Note that a connection is stable, and forget all verdicts before it."""
        self._records.clear()

    def judge(
        self, ending: Ending, *, now: float, now_wall: float, member: Hashable = None
    ) -> Judgement:
        """Judge an ending, once.

        Args:
            ending: Why the connection, or the attempt at one, ended.
            now: The time, on the caller's clock.
            now_wall: The wall clock, for a ``Retry-After`` that is a date.
            member: The endpoint that was dialled.
        """
        verdict, complaint = self._classify(ending)
        for error in (ending.because, complaint):
            if isinstance(error, Fatal):
                return Judgement(ending=ending, final=True, failure=error)
        fatal = self._is_fatal(verdict, ending, member, now)
        if fatal and self._has_stood(member, now):
            failure = _session_error(ending)
            return Judgement(
                ending=ending, final=True, failure=failure, complaint=complaint
            )
        return Judgement(
            ending=ending,
            final=False,
            failure=ending.because,
            stands=fatal,
            fresh=verdict is Verdict.RETRY_FRESH,
            extra=self._extra(ending, now_wall, stands=fatal),
            complaint=complaint,
        )

    def _extra(self, ending: Ending, now_wall: float, *, stands: bool) -> RetryDelay:
        """Return what an ending adds to the wait: while fatal, the longest delay."""
        asked = extra_delay(ending, now_wall, self._policy.retry_after_cap)
        longest = longest_wait(self._policy, ending.because) if stands else 0.0
        return RetryDelay(longest, "floor") if longest > asked.seconds else asked

    def _is_fatal(
        self, verdict: Verdict, ending: Ending, member: Hashable, now: float
    ) -> bool:
        """Record a verdict, and return whether it and those before it are fatal."""
        if verdict is Verdict.RETRY:
            self._records.pop(member, None)
            return False
        record = self._records.setdefault(member, _Record())
        signature = _signature(ending)
        if verdict is Verdict.RETRY_FRESH and signature not in record.refreshed:
            record.refreshed.add(signature)
            return False
        if record.since is None:
            record.since = now
        return True

    def _has_stood(self, member: Hashable, now: float) -> bool:
        """Whether a fatal verdict has stood for long enough to be final."""
        since = self._records[member].since
        stood = since is not None and now - since >= self._policy.fatal_after
        return stood or not self._was_open

    def _classify(self, ending: Ending) -> tuple[Verdict, Exception | None]:
        # A mistake in on_open that is retried for ever would never be seen. The author
        # is watching before the first open connection, but not later.
        mistaken = ending.bug and not self._was_open
        default = Verdict.FATAL if mistaken else default_verdict(ending)
        classify = self._policy.classify
        if classify is None or isinstance(ending.because, Fatal):
            return default, None
        try:
            return _verdict(classify(ending), default), None
        except Exception as error:  # noqa: BLE001 - a bug in classify must not end a session
            return default, error


def _verdict(answer: object, default: Verdict) -> Verdict:
    if answer is None:
        return default
    if isinstance(answer, Verdict):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()  # it is never awaited, and Python would warn about that
    raise TypeError(
        "Reconnect.classify must return a Verdict or None, not a value of "
        f"type {type(answer).__name__}."
    )


def _session_error(ending: Ending) -> Exception:
    """Return the error that ends a session, always a ``ResilientWSError``."""
    because = ending.because
    if isinstance(because, ResilientWSError):
        return because
    what = f"on_open raised {type(because).__name__}"
    fatal = mistake(what if ending.bug else f"{what}, which classify calls fatal")
    fatal.__cause__ = because
    return fatal


def _signature(ending: Ending) -> Signature:
    because = ending.because
    by = because.by if isinstance(because, HandshakeRejected) else None
    return type(because), by, ending.status, ending.code, ending.stage
