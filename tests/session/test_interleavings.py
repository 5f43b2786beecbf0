"""An event of one epoch never touches the next, however server and user interleave.

Hypothesis draws what a server does with each connection and what a user does with the
session, at instants that like to coincide; both are played in virtual time, and what
both sides saw is judged. ``INTERLEAVINGS=20000`` draws more, and ever new ones.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, note, settings

from tests.session.interleaving.plans import SERVERS, USERS
from tests.session.interleaving.rules import judge
from tests.session.interleaving.stage import play


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.session.interleaving.plans import ServerPlan, UserPlan

#: Asked for by hand: so many, from another seed each time. By default a fixed few.
BY_HAND = int(os.environ.get("INTERLEAVINGS", "0"))


@pytest.fixture(scope="module", autouse=True)
def silence() -> Iterator[None]:
    """Thousands of callbacks raise here, and each is logged with its traceback."""
    logger = logging.getLogger("resilient_ws")
    logger.disabled = True
    yield
    logger.disabled = False


@settings(
    max_examples=BY_HAND or 300,
    derandomize=not BY_HAND,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(servers=SERVERS, user=USERS)
def test_no_event_of_an_epoch_touches_another(
    servers: list[ServerPlan], user: UserPlan
) -> None:
    record = play(servers, user)
    for event in record.reported:
        note(repr(event))
    judge(record, user)
