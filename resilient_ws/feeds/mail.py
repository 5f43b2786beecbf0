"""Items as mails, over SMTP.

Rules: what an item says gets into no header but the subject, and there only as one
line. A password leaves only over TLS. A recipient that was refused for good is not
tried again, and neither is one that has got its mail. Addresses, subjects and answers
of the server stay out of logs and errors.
"""

from __future__ import annotations

import collections
import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import localtime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

from resilient_ws.feeds.errors import SinkBusy, SinkGone, Undeliverable
from resilient_ws.feeds.plain import because, is_batch, plain
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import check_positive, whole_number


if TYPE_CHECKING:
    import ssl


#: How a connection is encrypted: from its first byte, after ``STARTTLS``, or not.
Encryption: TypeAlias = Literal["implicit", "starttls", "none"]

_PORTS: Final = {"implicit": 465, "starttls": 587, "none": 25}
#: Deliveries whose mail has reached some of its recipients, and is tried again.
_MAX_PARTLY: Final = 1_000
#: The highest port of TCP.
MAX_PORT: Final = 65_535
#: Half of the longest line that RFC 5322 allows, for it may get encoded.
_MAX_SUBJECT: Final = 400
_MAX_ID: Final = 256
_PERMANENT: Final = 500


def email(
    host: str,
    *,
    sender: str,
    to: str | Sequence[str],
    subject: str | Callable[[Any], str] = "Notification",
    body_of: Callable[[Any], str] | None = None,
    port: int | None = None,
    encryption: Encryption = "starttls",
    username: str | None = None,
    password: str | None = None,
    ssl: ssl.SSLContext | None = None,
    timeout: float = 30.0,
    max_body: int = 1_048_576,
) -> Mail:
    """Return a sink that mails each item; needs ``pip install resilient-ws[email]``.

    For a digest, relay ``batches(items, ...)``: several items are then one mail.

    A refusal for good (5xx) of the mail or of a recipient goes to the dead letter;
    everybody else gets it. A refusal for now (4xx), or a server that is not reached,
    is tried again. A login that is refused ends the relay with ``SinkGone``.

    Args:
        host: The mail server.
        sender: The address in ``From``.
        to: The address, or addresses, in ``To``.
        subject: The subject, or a callable that makes it of an item or a ``Gap``. Line
            breaks and other control characters become spaces; it is cut at 400
            characters.
        body_of: Makes the text of an item, a ``Gap``, or a tuple of them; by default a
            line of JSON for each.
        port: Where the server listens; by default 587, or 465 with ``"implicit"``, or
            25 with ``"none"``.
        encryption: ``"starttls"`` (default) or ``"implicit"`` send nothing over a
            connection that is not encrypted; ``"none"`` is for a server on this
            machine.
        username: Whom to log in as.
        password: The password for it.
        ssl: A context of your own, for a private authority or a client certificate.
        timeout: Seconds for each step (default 30).
        max_body: The characters of the largest text (default 1 MiB).

    Raises:
        ImportError: aiosmtplib is not installed.
        ValueError: An address or a number cannot be used, a login would not be
            encrypted, or only one of ``username`` and ``password`` is given.
    """
    if importlib.util.find_spec("aiosmtplib") is None:
        raise ImportError(
            "email() needs aiosmtplib: pip install 'resilient-ws[email]'."
        )
    _check_login(encryption, username, password)
    check_positive("timeout", timeout)
    whole_number("max_body", max_body, at_least=1)
    if port is not None:
        whole_number("port", port, at_least=1, at_most=MAX_PORT)
    recipients = (to,) if isinstance(to, str) else tuple(to)
    if not recipients:
        raise ValueError("to must name at least one address.")
    server = Server(
        host=host,
        port=_PORTS[encryption] if port is None else port,
        encryption=encryption,
        username=username,
        password=password,
        ssl=ssl,
        timeout=timeout,
    )
    form = Form(
        sender=_address(sender, "sender"),
        to=tuple(_address(one, "to") for one in recipients),
        subject=subject,
        body_of=_lines if body_of is None else body_of,
        max_body=max_body,
    )
    return Mail(server, form)


def _check_login(
    encryption: Encryption, username: str | None, password: str | None
) -> None:
    if encryption not in _PORTS:
        raise ValueError("encryption must be 'starttls', 'implicit' or 'none'.")
    if (username is None) != (password is None):
        raise ValueError("username and password belong together.")
    if username is not None and encryption == "none":
        raise ValueError("A login needs encryption='starttls' or 'implicit'.")


@attrs.frozen(kw_only=True)
class Server:
    """A mail server, and how to get in."""

    host: str
    port: int
    encryption: Encryption
    username: str | None = attrs.field(repr=False)
    password: str | None = attrs.field(repr=False)
    ssl: ssl.SSLContext | None = attrs.field(repr=False)
    timeout: float

    async def send(
        self, message: EmailMessage, sender: str, recipients: Sequence[str]
    ) -> dict[str, int]:
        """Send a mail; return the codes of the recipients that were refused.

        Raises:
            SMTPException: It was not sent to anybody.
        """
        import aiosmtplib  # noqa: PLC0415 - an extra

        try:
            refused, _ = await aiosmtplib.send(
                message,
                sender=sender,
                recipients=recipients,
                hostname=self.host,
                port=self.port,
                username=self.username,
                password=self.password,
                timeout=self.timeout,
                use_tls=self.encryption == "implicit",
                # Not None, which takes STARTTLS where the server offers it: somebody
                # on the way could cut the offer out.
                start_tls=self.encryption == "starttls",
                tls_context=self.ssl,
            )
        except aiosmtplib.SMTPRecipientsRefused as failure:
            return {one.recipient: one.code for one in failure.recipients}
        return {recipient: response.code for recipient, response in refused.items()}


@attrs.frozen(kw_only=True)
class Form:
    """What makes a mail of an item."""

    sender: Address
    to: tuple[Address, ...]
    subject: str | Callable[[Any], str]
    body_of: Callable[[Any], str]
    max_body: int

    def message(self, item: Any, delivery_id: str) -> EmailMessage:
        """Return the mail.

        Raises:
            Undeliverable: The text, or the id, is too long.
        """
        body = self.body_of(item)
        if len(body) > self.max_body or len(delivery_id) > _MAX_ID:
            raise Undeliverable(
                f"The mail of an item has {len(body)} characters, more than max_body "
                f"({self.max_body}), or its id is longer than {_MAX_ID}."
            )
        subject = self.subject if isinstance(self.subject, str) else self.subject(item)
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self.sender
        message["To"] = self.to
        message["Subject"] = one_line(subject)
        message["Date"] = localtime()
        # The same in each attempt, so that a server may drop repeats.
        local = re.sub(r"[^A-Za-z0-9_-]", "-", delivery_id)
        message["Message-ID"] = f"<{local}@{self.sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body.encode(errors="replace").decode())
        return message


class Mail:
    """A sink that mails items: see ``email``."""

    def __init__(self, server: Server, form: Form) -> None:
        self._server = server
        self._form = form
        #: By delivery, the recipients that may still get it, and how many never will.
        self._partly: collections.OrderedDict[str, tuple[tuple[str, ...], int]]
        self._partly = collections.OrderedDict()

    def __repr__(self) -> str:
        """Show the server."""
        return f"<Mail by {self._server.host}:{self._server.port}>"

    async def __call__(self, item: Any, delivery_id: str) -> None:
        """Mail an item.

        Raises:
            SinkBusy: The server was not reached, or cannot take it now.
            SinkGone: The server refused the login.
            Undeliverable: The server refused it, or a recipient, for good.

        Cancellation:
            The server may have taken it.
        """
        message = self._form.message(item, delivery_id)
        everybody = tuple(one.addr_spec for one in self._form.to)
        recipients, lost = self._partly.pop(delivery_id, (everybody, 0))
        sender = self._form.sender.addr_spec
        try:
            refused = await self._server.send(message, sender, recipients)
        except Exception as failure:
            self._keep(delivery_id, recipients, lost)
            raise _judged(failure, repr(self)) from failure
        lost += sum(code >= _PERMANENT for code in refused.values())
        left = tuple(one for one, code in refused.items() if code < _PERMANENT)
        if left:
            self._keep(delivery_id, left, lost)
            raise SinkBusy(f"{self!r} refused {len(left)} recipients for now.")
        if lost:
            raise Undeliverable(
                f"{self!r} refused {lost} of {len(everybody)} recipients."
            )

    def _keep(self, id: str, recipients: tuple[str, ...], lost: int) -> None:
        """Remember who has not got a mail, if not everybody is left."""
        if len(recipients) == len(self._form.to):
            return
        self._partly[id] = (recipients, lost)
        if len(self._partly) > _MAX_PARTLY:
            self._partly.popitem(last=False)


def _judged(failure: Exception, who: str) -> Exception:
    """Return what an exception of aiosmtplib means."""
    import aiosmtplib  # noqa: PLC0415 - an extra

    told = f"{who} was not reached ({type(failure).__name__})."
    if not isinstance(failure, aiosmtplib.SMTPResponseException):
        expected = isinstance(failure, (aiosmtplib.SMTPException, OSError))
        return SinkBusy(told) if expected else failure
    told = f"{who} answered {failure.code} ({type(failure).__name__})."
    if failure.code < _PERMANENT:
        return SinkBusy(told)
    if isinstance(failure, aiosmtplib.SMTPAuthenticationError):
        return SinkGone(told)
    # What a server says before it has seen a mail is not about the mail.
    early = (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError)
    return SinkBusy(told) if isinstance(failure, early) else Undeliverable(told)


def one_line(text: str) -> str:
    """Return a text that can be a header: one line, without control characters."""
    printable = "".join(
        one if one.isprintable() else " " for one in text[: 2 * _MAX_SUBJECT]
    )
    return " ".join(printable.split())[:_MAX_SUBJECT]


def _address(address: str, name: str) -> Address:
    try:
        return Address(addr_spec=address)
    except Exception:  # noqa: BLE001 - the parser raises IndexError and others too
        raise ValueError(f"{name} must be an address like me@example.com.") from None


def _lines(item: Any) -> str:
    """Return a line of JSON for each item."""
    items = item if is_batch(item) else (item,)
    return "".join(f"{_line(one)}\n" for one in items)


def _line(item: Any) -> str:
    if isinstance(item, Gap):
        return (
            f"GAP in {item.key}: from {item.first_missing} through {item.until} "
            f"({because(item)})"
        )
    return json.dumps(item, default=plain)
