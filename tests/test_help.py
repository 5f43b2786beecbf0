"""What ``help()`` shows: all that is public, and nothing else."""

from __future__ import annotations

import inspect
import pydoc
from typing import Final

import attrs
import pytest

import resilient_ws
from resilient_ws import Event, ResilientWSError, errors, events


CLASSES: Final = {
    name: found
    for name in resilient_ws.__all__
    if isinstance(found := getattr(resilient_ws, name), type)
}

#: What a user may call, or read, besides the fields of values and of errors.
MEMBERS: Final = {
    "Access": {"check_address", "check_endpoint", "check_redirect"},
    "ConnectLimiter": {"in_use", "waiting"},
    "Connection": {"receive", "restoring", "send"},
    "DeliveryState": {"final", "lost"},
    "Ending": {"close", "code", "errno", "goodbye", "how", "stage", "status"},
    "Reconnect": {"once"},
    "State": {"can_become", "ending", "entered", "terminal"},
}

#: Whose members are looked at where they are tested.
ELSEWHERE: Final = {
    "Delivery",
    "Interruption",
    "MemoryStore",
    "Outbox",
    "SQLiteStore",
    "Session",
}


@pytest.mark.parametrize("root", [Event, ResilientWSError], ids=["events", "errors"])
def test_help_of_a_module_lists_every_class(root: type) -> None:
    module = events if root is Event else errors
    wanted = {n for n, kind in CLASSES.items() if issubclass(kind, root)}
    shown = pydoc.plain(pydoc.render_doc(module))
    listed = {name for name in CLASSES if f"    class {name}(" in shown}
    # An event that is an error as well is listed with the events.
    assert listed == wanted - ({"SessionClosed"} if module is errors else set())
    # And no helper of the module's.
    assert "FUNCTIONS" not in shown
    members = dict(inspect.getmembers(module))
    assert set(module.__all__) <= set(members)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_told_by_the_name_it_is_imported_by(name: str) -> None:
    assert f"{CLASSES[name].__module__}.{CLASSES[name].__qualname__}" == (
        f"resilient_ws.{name}"
    )
    assert CLASSES[name].__doc__


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - ELSEWHERE))
def test_a_class_shows_what_is_public_and_no_more(name: str) -> None:
    kind = CLASSES[name]
    ours = [one for one in kind.__mro__ if one.__module__.startswith("resilient_ws")]
    shown = {key for one in ours for key in vars(one) if not key.startswith("_")}
    if attrs.has(kind):
        shown -= {field.name for field in attrs.fields(kind)}
    shown -= set(getattr(kind, "__members__", ()))
    if issubclass(kind, Event):
        # Who tells it, which is no field, for it is no part of what happened.
        assert "session: The" in (Event.__doc__ or "")
        shown -= {"session"}
    assert shown == MEMBERS.get(name, set())


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"Event"}))
def test_help_of_a_class_can_be_read(name: str) -> None:
    shown = pydoc.plain(pydoc.render_doc(CLASSES[name]))
    assert f"class {name}(" in shown
