"""Errors, events and values travel: copied, and pickled for another process."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pickle
import ssl
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import pytest

import resilient_ws
from resilient_ws import (
    Attempt,
    AttemptFailed,
    AttemptQueued,
    Close,
    ConfirmationOverdue,
    ConnectFailed,
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    ConnectionTimedOut,
    DeliveryError,
    DeliveryFailed,
    DeliveryState,
    Ending,
    Event,
    Fatal,
    GaveUp,
    HandlerFailed,
    HandshakeRejected,
    InboxOverflowed,
    Interruption,
    LivenessTimeout,
    LoopLagged,
    MessageReceived,
    MessageTooBig,
    OpenTimeout,
    OutboxFull,
    OutboxOverflowed,
    PongReceived,
    ProtocolError,
    ResilientWSError,
    RetryScheduled,
    SecurityError,
    ServerTerminated,
    SessionClosed,
    State,
    StateChanged,
    Statistics,
    StoreError,
    StoreFailed,
)
from resilient_ws.protocol.close import CloseFrame


if TYPE_CHECKING:
    from collections.abc import Callable


FRAME = CloseFrame(code=1001, reason="bye")
CLOSE = Close(
    code=1001, reason="bye", initiator="peer", clean=True, sent=FRAME, received=FRAME
)
LOST = ConnectionLost("lost", how="reset", close=CLOSE, errno=104)
FAILED = ConnectFailed("no", stage="connect", errno=111)
REJECTED = HandshakeRejected(
    "503", status=503, headers={"retry-after": "5"}, body=b"later", by="proxy"
)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Own(Fatal):
    """As a user would write one."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"own: {reason}")
        self.reason = reason


ERRORS: list[Exception] = [
    ResilientWSError("plain"),
    SecurityError("not there"),
    REJECTED,
    OpenTimeout("late", kind="restore", after=30.0),
    LOST,
    caused(
        ConnectFailed("no", stage="connect", errno=111),
        ConnectionRefusedError(111, "Connection refused"),
    ),
    caused(
        ConnectFailed("no", stage="certificate"),
        ssl.SSLCertVerificationError(1, "wrong host"),
    ),
    LivenessTimeout("silent", kind="ping", after=40.0, close=CLOSE),
    ProtocolError("broken", code=1002, close=CLOSE),
    caused(GaveUp("enough", attempts=2, elapsed=3.5, history=(FAILED, LOST)), LOST),
    OutboxFull("full"),
    DeliveryError(
        "lost", state=DeliveryState.FAILED, maybe_delivered=True, stored=True
    ),
    StoreError("disk"),
    MessageTooBig("big"),
    Fatal("mine"),
    Own(reason="because"),
    SessionClosed("over", close=CLOSE, failure=LOST, dropped=3, stored=4),
]

EVENTS: list[object] = [
    StateChanged(previous=State.OPEN, current=State.BACKOFF, because=LOST, retry_in=1),
    AttemptQueued(attempt=1, ahead=2),
    AttemptFailed(attempt=1, endpoint="ws://h/", because=REJECTED, elapsed=0.5),
    ConnectionOpened(
        epoch=1, endpoint="ws://h/", subprotocol="mqtt", extensions={"x": {"a": None}}
    ),
    ConnectionStable(epoch=1),
    ConnectionDropped(
        epoch=1, because=LOST, close=CLOSE, uptime=1.0, clean=True, unconfirmed=3
    ),
    ConnectionReplaced(epoch=1, reason="max_age", close=CLOSE, uptime=1.0),
    ConnectionTimedOut(kind="ping", after=40.0),
    ServerTerminated(code=1001, reason="bye", meaning="going away"),
    RetryScheduled(delay=1.0, attempt=2, because=LOST, source="wait"),
    MessageReceived(data=b"x"),
    PongReceived(latency=0.1, count=2),
    LoopLagged(by=1.0),
    OutboxOverflowed(overflow="drop_oldest", discarded=1),
    InboxOverflowed(overflow="drop_newest", discarded=1),
    DeliveryFailed(state=DeliveryState.EXPIRED, message_id="a", maybe_delivered=False),
    ConfirmationOverdue(after=1.0, unconfirmed=2),
    StoreFailed(because=StoreError("disk")),
    HandlerFailed(handler="f", event="MessageReceived", because=KeyError("k")),
    CLOSE,
    Interruption(cause=LOST, since=1.0, until=2.0, epoch=2, drops=1),
    Ending(because=LOST, state=State.OPEN, uptime=5.0),
    Attempt(number=2, epoch=1, because=FAILED, fresh=True),
    Statistics(),
]


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda one: pickle.loads(pickle.dumps(one, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": pickled(p) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


def told(one: Any) -> object:
    """All that there is to an exception or a value, in a form that compares."""
    if isinstance(one, BaseException):
        kept = {name: told(value) for name, value in vars(one).items()}
        return type(one), one.args, str(one), kept, told(one.__cause__)
    if attrs.has(type(one)):
        names = [field.name for field in attrs.fields(type(one))]
        return type(one), {name: told(getattr(one, name)) for name in names}
    return tuple(map(told, one)) if isinstance(one, tuple) else one


def test_every_error_and_event_is_tried() -> None:
    public = {getattr(resilient_ws, name) for name in resilient_ws.__all__}
    kinds = {
        kind
        for kind in public
        if isinstance(kind, type) and issubclass(kind, ResilientWSError | Event)
    }
    assert kinds - {type(one) for one in [*ERRORS, *EVENTS]} == {Event}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
def test_an_error_travels_with_all_that_it_says(error: Exception, way: str) -> None:
    with pytest.raises(type(error)) as caught:
        raise error  # with a traceback, as errors have one
    travelled = WAYS[way](caught.value)
    assert travelled is not error
    assert told(travelled) == told(error)
    assert travelled.__suppress_context__ == error.__suppress_context__
    assert travelled.__traceback__ is None


@pytest.mark.parametrize("way", WAYS)
def test_an_event_travels_with_the_name_of_its_session(way: str) -> None:
    for event in (resilient_ws.PongReceived(latency=1.0), resilient_ws.SessionClosed()):
        object.__setattr__(event, "session", "feed")
        assert WAYS[way](event).session == "feed"
        assert WAYS[way](event) == event or isinstance(event, Exception)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", EVENTS, ids=lambda one: type(one).__name__)
def test_an_event_or_a_value_travels(event: object, way: str) -> None:
    assert told(WAYS[way](event)) == told(event)


def test_a_note_travels_too() -> None:
    error = ConnectionLost("lost", how="eof")
    error.add_note("at the third floor")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["at the third floor"]
    assert copy.copy(error).__notes__ == ["at the third floor"]


class Stubborn(Exception):
    """Of another hand, and such as most are written: pickle cannot build it again."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.lock = threading.Lock()


def test_what_cannot_be_pickled_is_told_by_its_class() -> None:
    """Or the error that it stands in would take a pool of processes with it."""
    stubborn = Stubborn(code=3)
    gave_up = GaveUp("enough", attempts=1, elapsed=1.0, history=(stubborn, LOST))
    gave_up.__cause__ = stubborn
    travelled = pickle.loads(pickle.dumps(gave_up))
    assert isinstance(travelled.__cause__, RuntimeError)
    assert str(travelled.__cause__) == "Stubborn, which cannot be pickled"
    assert told(travelled.history[0]) == told(travelled.__cause__)
    assert told(travelled.history[1]) == told(LOST)
    # A copy stays here, and keeps it.
    assert copy.copy(gave_up).__cause__ is stubborn


def give_up() -> NoReturn:
    raise GaveUp("enough", attempts=1, elapsed=1.0, history=(LOST,)) from LOST


def test_an_error_comes_out_of_a_pool_of_processes() -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        with pytest.raises(GaveUp) as caught:
            pool.submit(give_up).result(60)
        # The pool lives on.
        assert pool.submit(len, "abc").result(60) == 3
    assert told(caught.value.history) == told((LOST,))
    assert caught.value.attempts == 1
