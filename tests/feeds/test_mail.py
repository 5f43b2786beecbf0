"""email(): one mail an item, to a real server (aiosmtpd), which refuses as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import importlib.util
import logging
import ssl
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from tenacity import wait_fixed

from resilient_ws.feeds import (
    DeadLetter,
    Gap,
    NotBackfillable,
    Redelivery,
    SinkBusy,
    SinkGone,
    Undeliverable,
    batches,
    email as mail,
    relay,
)
from resilient_ws.feeds.mail import one_line
from resilient_ws.testing import BlackHole, FaultProxy


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from email.message import EmailMessage

EACH_SECOND = Redelivery(wait=wait_fixed(1))
ME, YOU, THEM = "me@example.org", "you@example.org", "them@example.org"


class Server:
    """A mail server that keeps what it gets, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        #: The answers to each RCPT of an address, before it is taken.
        self.refusals: dict[str, list[str]] = {}
        self.data: list[str] = []
        self.authority = trustme.CA()
        self.logins: list[tuple[bytes, bytes]] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _: Any, __: Any, envelope: Any, address: str, ___: Any
    ) -> str:
        left = self.refusals.get(address)
        if left:
            return left.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _: Any, session: Any, envelope: Any
    ) -> str:
        if self.data:
            return self.data.pop(0)
        message = email.message_from_bytes(
            envelope.content, policy=email.policy.default
        )
        self.mails.append((envelope.rcpt_tos, message))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def log_in(self, _: Any, __: Any, ___: Any, ____: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("localhost").configure_cert(context)
        return context

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def listen(self, *, tls: bool = False) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(
                self,
                hostname="localhost",
                tls_context=self.context() if tls else None,
                authenticator=self.log_in if tls else None,
            ),
            "localhost",
            0,
            family=2,
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def sink(self, **more: Any) -> Any:
        given = {"sender": ME, "to": YOU, "encryption": "none", "port": self.port}
        return mail("localhost", **{**given, **more})


pytestmark = pytest.mark.wire


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with await server.listen():
        yield server


@pytest.fixture
async def safe() -> AsyncIterator[Server]:
    """The same with STARTTLS and a login."""
    server = Server()
    async with await server.listen(tls=True):
        yield server


async def feed(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def text_of(message: EmailMessage) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


async def test_each_item_is_a_mail(server: Server) -> None:
    gap = Gap(key="ticks", first_missing=3, until=5, because=NotBackfillable("none"))
    sink = server.sink(subject=lambda item: f"Tick: {type(item).__name__}")
    await relay(feed([{"price": 1.5}, gap]), sink, id_of=lambda _: "tick.1")
    (to, first), (_, second) = server.mails
    assert to == [YOU]
    assert (first["From"], first["To"]) == (ME, YOU)
    assert first["Subject"] == "Tick: dict"
    assert first["Message-ID"] == "<tick-1@example.org>"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Date"].datetime.tzinfo is not None
    assert text_of(first) == '{"price": 1.5}\n'
    assert second["Subject"] == "Tick: Gap"
    assert "GAP in ticks: from 3 through 5 (NotBackfillable: none)" in str(second)


async def test_a_digest_is_one_mail_of_several_items(server: Server) -> None:
    @attrs.frozen
    class Tick:
        cursor: int

    saved: list[Any] = []

    class Store:
        async def save(self, cursor: Any, /) -> None:
            saved.append(cursor)

    items = batches(feed([Tick(1), Tick(2), Tick(3)]), within=60, most=2)
    await relay(items, server.sink(), cursor_store=Store())
    texts = [text_of(message) for _, message in server.mails]
    assert texts == ['{"cursor": 1}\n{"cursor": 2}\n', '{"cursor": 3}\n']
    assert saved == [2, 3]


@pytest.mark.parametrize(
    "evil",
    [
        "a\r\nBcc: x@example.net",
        "a\nBcc: x",
        "a\x00b",
        "a\u2028Bcc: x",
        "\ud800",
        "x" * 9999,
    ],
)
async def test_nothing_that_an_item_says_makes_a_header(
    server: Server, evil: str
) -> None:
    sink = server.sink(subject=lambda item: item, body_of=lambda item: item)
    await sink(evil, "id\r\nBcc: x@example.net")
    ((to, message),) = server.mails
    assert to == [YOU]
    expected = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"}
    mime = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert set(message.keys()) <= expected | mime | {"X-Peer", "X-MailFrom", "X-RcptTo"}
    assert len(str(message["Subject"])) <= 400
    assert "\n" not in str(message["Message-ID"])


async def test_a_text_in_any_script_arrives(server: Server) -> None:
    text = "Grüße, 世界 🚀\n.\n..\nFrom here\n"
    await server.sink(subject="Übersicht", body_of=lambda _: text)(1, "id")
    ((_, message),) = server.mails
    assert message["Subject"] == "Übersicht"
    assert text_of(message) == text


# Who refuses what.


async def test_a_recipient_refused_for_good_is_not_tried_again(server: Server) -> None:
    server.refusals = {YOU: ["550 nobody here"] * 9}
    letters: list[DeadLetter] = []

    async def bury(letter: DeadLetter) -> None:
        letters.append(letter)

    sink = server.sink(to=[YOU, THEM])
    await relay(feed([1]), sink, dead_letter=bury)
    assert [to for to, _ in server.mails] == [[THEM]]
    (letter,) = letters
    assert letter.attempts == 1
    assert "refused 1 of 2 recipients" in str(letter.because)
    assert len(server.refusals[YOU]) == 8


async def test_one_that_is_refused_for_now_is_tried_again_alone(server: Server) -> None:
    server.refusals = {YOU: ["451 greylisted", "450 greylisted"]}
    retry = Redelivery(wait=wait_fixed(0))
    await relay(feed([1, 2]), server.sink(to=[YOU, THEM]), retry=retry)
    assert [to for to, _ in server.mails] == [[THEM], [YOU], [YOU, THEM]]
    ids = [message["Message-ID"] for _, message in server.mails]
    assert ids[0] == ids[1] != ids[2]


async def test_who_has_got_a_mail_gets_no_other_when_the_server_then_fails(
    server: Server,
) -> None:
    server.refusals = {YOU: ["451 greylisted"]}
    sink = server.sink(to=[YOU, THEM])
    with pytest.raises(SinkBusy):
        await sink(1, "one")
    server.data = ["451 disk full"]
    with pytest.raises(SinkBusy):
        await sink(1, "one")
    await sink(1, "one")
    assert [to for to, _ in server.mails] == [[THEM], [YOU]]


async def test_all_refused_is_told_at_once(server: Server) -> None:
    server.refusals = {YOU: ["550 no"], THEM: ["551 no"]}
    with pytest.raises(Undeliverable, match="2 of 2"):
        await server.sink(to=[YOU, THEM])(1, "id")


@pytest.mark.parametrize(
    ("answer", "kind"), [("451 later", SinkBusy), ("554 spam", Undeliverable)]
)
async def test_a_mail_that_is_refused(
    server: Server, answer: str, kind: type[Exception]
) -> None:
    server.data = [answer]
    with pytest.raises(kind, match=answer[:3]):
        await server.sink()(1, "id")


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    server = Server()
    async with await server.listen():
        pass
    with pytest.raises(SinkBusy, match="was not reached"):
        await server.sink()(1, "id")


async def test_too_long_a_text_is_not_sent(server: Server) -> None:
    with pytest.raises(Undeliverable, match="max_body"):
        await server.sink(max_body=10)("x" * 11, "id")
    assert server.mails == []


# Encryption and login.


async def test_starttls_and_login(safe: Server) -> None:
    sink = safe.sink(
        encryption="starttls", ssl=safe.trusting(), username="u", password="right"
    )
    await sink(1, "id")
    assert safe.encrypted == [True]
    assert safe.logins == [(b"u", b"right")]


async def test_without_starttls_nothing_is_sent(server: Server) -> None:
    sink = server.sink(encryption="starttls", username="u", password="right")
    with pytest.raises(SinkBusy, match="not reached"):
        await sink(1, "id")
    assert server.mails == []
    assert server.logins == []


async def test_a_certificate_of_somebody_else_is_not_taken(safe: Server) -> None:
    sink = safe.sink(encryption="starttls", username="u", password="right")
    with pytest.raises(SinkBusy):
        await sink(1, "id")
    assert safe.logins == []


async def test_a_refused_login_ends_the_relay_and_shows_no_password(
    safe: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "resilient_ws")
    sink = safe.sink(
        encryption="starttls", ssl=safe.trusting(), username="u", password="wr0ng"
    )
    with pytest.raises(SinkGone, match="535") as caught:
        await relay(feed([1]), sink)
    told = [one.getMessage() for one in caplog.records if "resilient" in one.name]
    assert "wr0ng" not in f"{told} {caught.value!r} {sink!r} {sink._server!r}"


# What is refused at once.


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"sender": "me"}, "sender"),
        ({"sender": "me@example.org\r\nBcc: x@example.net"}, "sender"),
        ({"to": []}, "to"),
        ({"to": ["a@b.example", "x\n@y"]}, "to"),
        ({"encryption": "tls"}, "encryption"),
        ({"username": "u"}, "belong together"),
        ({"username": "u", "password": "p", "encryption": "none"}, "needs encryption"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mail("localhost", **{"sender": ME, "to": YOU, **more})


@pytest.mark.parametrize(
    ("encryption", "port"), [("implicit", 465), ("starttls", 587), ("none", 25)]
)
def test_each_encryption_has_its_port(encryption: Any, port: int) -> None:
    sink = mail("localhost", sender=ME, to=YOU, encryption=encryption)
    assert repr(sink) == f"<Mail by localhost:{port}>"


def test_a_subject_is_one_line() -> None:
    assert one_line(" a \r\n\tb\x1b[31m ") == "a b [31m"


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"resilient-ws\[email\]"):
        mail("localhost", sender=ME, to=YOU)


# Servers that are none.


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xfe\x00\r\n",
        b"220 " + b"x" * 1_000_000,
        b"220-more\r\n" * 100_000,
        b"554 go away\r\n",
        b"421 later\r\n",
        b"999 what\r\n",
    ],
)
async def test_a_greeting_that_is_none_is_tried_again(greeting: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "localhost", 0, family=2) as listening:
        server = Server()
        server.port = listening.sockets[0].getsockname()[1]
        with pytest.raises(SinkBusy):
            await server.sink(timeout=2)(1, "id")


async def test_a_server_that_says_nothing_is_given_up(server: Server) -> None:
    async with FaultProxy("localhost", server.port) as proxy:
        proxy.apply(BlackHole("down"))
        server.port = int(proxy.url().rpartition(":")[2].strip("/"))
        with pytest.raises(SinkBusy, match="Timeout"):
            await server.sink(timeout=0.2)(1, "id")


@pytest.mark.parametrize("more", [{"timeout": 0}, {"max_body": 0}])
def test_impossible_numbers_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(more))):
        mail("localhost", sender=ME, to=YOU, **more)
