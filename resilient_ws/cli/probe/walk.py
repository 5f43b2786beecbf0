"""Walks from the name of a server to its habits, and stops where it cannot go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws import ConnectFailed, HandshakeRejected, OpenTimeout, ResilientWSError
from resilient_ws.cli.probe import habits
from resilient_ws.cli.probe.endings import ended_early, no_handshake, seconds
from resilient_ws.cli.probe.finding import Finding, Grade, SuitableSettings
from resilient_ws.cli.probe.handshake import agreed, look_for_subprotocol
from resilient_ws.cli.probe.link import ProbedLink
from resilient_ws.cli.probe.reach import (
    connect_tcp,
    connect_tls,
    milliseconds,
    place_of,
    resolve,
)
from resilient_ws.cli.probe.stranger import identify
from resilient_ws.cli.server_options import ServerOptions


if TYPE_CHECKING:
    from resilient_ws.cli.probe.finding import Found

#: Seconds after the handshake in which a server may say that it does not want us.
_FIRST_MOMENT: Final = 0.5
_MALFORMED: Final = 400


@attrs.frozen(kw_only=True)
class ProbeOptions:
    """What the command line says.

    Attributes:
        server: Where to connect.
        watch: Seconds to watch an idle link; 0 for not at all.
        within: Seconds for each step that waits for the server.
        on_open: Messages to send first.
        message: A message to keep the server busy with, if any.
    """

    server: ServerOptions
    watch: float
    within: float
    on_open: tuple[str, ...] = ()
    message: str | None = None


class Walk:
    """One probe of one server.

    Args:
        options: What the command line says.
        found: Called with each finding.

    Attributes:
        settings: What suits the server, as far as is known.
        works: Whether a session works with the server.
    """

    def __init__(self, options: ProbeOptions, found: Found) -> None:
        self._options = options
        self._tell = found
        self.settings = SuitableSettings()
        self.works = True
        #: What goes on now, for the status line.
        self.doing = ""

    def _found(self, finding: Finding) -> None:
        if finding.grade is Grade.BAD:
            self.works = False
        self._tell(finding)

    async def run(self) -> None:
        """Walk to the end, or until a step fails."""
        options = self._options
        if options.server.proxy is None:
            if not await self._reach():
                return
        else:
            text = "used for all that follows, so DNS and TCP are not looked at"
            self._found(Finding("Proxy", Grade.OK, text))
        await self._meet()

    async def _reach(self) -> bool:
        """Look at the name, TCP and TLS; return whether all of them are good."""
        options, within = self._options, self._options.within
        place = place_of(options.server.url)
        self.doing = "looking up the name"
        if not await resolve(place, self._found, within=within):
            return False
        self.doing = f"connecting to {place}"
        if not await connect_tcp(place, self._found, within=within):
            return False
        if not place.encrypted:
            return True
        self.doing = "TLS"
        trust = options.server.trust()
        return await connect_tls(place, trust, self._found, within=within)

    async def _meet(self) -> None:
        """Make a handshake, and look at what follows."""
        options = self._options
        self.doing = "the handshake"
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with ProbedLink(options.server, within=options.within) as link:
                took = milliseconds(loop.time() - began)
                await link.ended_within(_FIRST_MOMENT)
                agreed(link.opened, took, self._found)
                if await self._stays(link):
                    await self._converse(link)
        except ResilientWSError as failure:
            await self._no_handshake(failure)

    async def _no_handshake(self, failure: ResilientWSError) -> None:
        """Say why there is no connection; find out what is there instead."""
        options = self._options
        malformed = isinstance(failure, HandshakeRejected) and (
            failure.status == _MALFORMED
        )
        # A server of TLS may answer a plain request with 400.
        unspoken = (
            isinstance(failure, OpenTimeout)
            or malformed
            or (isinstance(failure, ConnectFailed) and failure.stage == "handshake")
        )
        if unspoken and options.server.proxy is None:
            self.doing = "finding out what is there"
            if await identify(place_of(options.server.url), self._found):
                return
        for finding in no_handshake(failure, within=options.within):
            self._found(finding)
        if malformed and not options.server.subprotocols:
            self.doing = "offering subprotocols"
            await look_for_subprotocol(
                options.server, self.settings, self._tell, within=options.within
            )

    async def _stays(self, link: ProbedLink) -> bool:
        """Whether the connection outlives its first moment; say why not."""
        options = self._options
        if not options.server.subprotocols:
            self.doing = "offering subprotocols"
            knows = await look_for_subprotocol(
                options.server, self.settings, self._found, within=options.within
            )
            if knows and link.has_ended:
                return False
        if not link.has_ended:
            return True
        early = None if link.dropped is None else ended_early(link.dropped)
        if early is None:
            uptime = 0.0 if link.dropped is None else link.dropped.uptime
            text = f"the server ended the connection after {seconds(uptime)}"
            remedy = "It may want a login or a subprotocol: --header, --subprotocol."
            early = Finding("Open", Grade.BAD, text, remedy)
        self._found(early)
        return False

    async def _converse(self, link: ProbedLink) -> None:
        """Send what is to be sent, and look at the server's habits."""
        options = self._options
        for message in options.on_open:
            await link.session.send(message)
        self.doing = "pings"
        answers = await habits.time_pings(link, self.settings, self._found)
        if answers:
            await habits.ping_in_a_burst(link, self._found)
        if answers and options.message is not None:
            self.doing = "keeping the server busy"
            await habits.ping_while_busy(
                link, options.message, self.settings, self._found
            )
        if options.watch and not link.has_ended:
            self.doing = "watching an idle link"
            await habits.watch_idle(
                link,
                options.server,
                self.settings,
                self._found,
                watch=options.watch,
                within=options.within,
            )
