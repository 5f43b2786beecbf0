"""The page in a browser: what it shows, and what happens when somebody clicks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Outbox, Reconnect, monitor
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import hold, rejecting
from tests.servers.process import node_module


if TYPE_CHECKING:
    from resilient_ws import Session
    from tests.monitor.browser import Browser

pytestmark = pytest.mark.wire

TOKEN = "a token of twenty-one"
VERDICT = "document.querySelector('#verdict').dataset.health"
SEEN = "document.querySelectorAll('#rows tr').length"
#: A text that a careless page would take for HTML.
ROGUE = "<img src=x onerror=document.body.remove()>"


def session_to(server: ScriptedServer, name: str, **options: Any) -> Session:
    reconnect = Reconnect(wait=wait_fixed(30))
    return resilient_ws.connect(
        server.url(), name=name, reconnect=reconnect, wait_open=False, **options
    )


def names(browser: Browser) -> Any:
    return browser.evaluate(
        "[...document.querySelectorAll('#rows a')].map((one) => one.textContent)"
    )


async def test_one_glance_says_whether_anything_is_wrong(browser: Browser) -> None:
    async with (
        ScriptedServer(hold) as server,
        session_to(server, "well") as well,
        session_to(server, ROGUE) as ill,
        monitor.serve([well, ill], title="my bot") as page,
    ):
        await browser.open(page.url)
        await browser.until(f"{VERDICT} === 'good'")
        assert await browser.text("#verdict-text") == "Both sessions are open"
        assert await browser.text("#title") == "my bot"
        assert "✓" in await browser.evaluate("document.title")

        server.play(rejecting(503))
        # The second connection that came is of the second session.
        await server.peers[1].reset()

        await browser.until(f"{VERDICT} === 'bad'")
        assert await browser.text("#verdict-text") == "1 of 2 sessions is down"
        assert await browser.text("#announcer") == "1 of 2 sessions is down"
        assert "it was reset" in await browser.text("#alarms")
        assert await names(browser) == [ROGUE, "well"]


async def test_a_person_clicks_through(browser: Browser) -> None:
    async with (
        ScriptedServer(hold) as server,
        session_to(server, "alpha") as alpha,
        session_to(server, "beta") as beta,
        monitor.serve([alpha, beta]) as page,
    ):
        await browser.open(page.url)
        await browser.until(f"{SEEN} === 2")

        await browser.click("#heads th[data-name=name] button")
        await browser.click("#heads th[data-name=name] button")
        await browser.until(
            "document.querySelector('th[aria-sort=descending]')"
            " && document.querySelector('#rows a').textContent === 'beta'"
        )

        await browser.click("#filter")
        await browser.write("alp")
        await browser.until(f"{SEEN} === 1")
        assert await names(browser) == ["alpha"]

        await browser.click("#rows tr .state")
        await browser.until("document.activeElement.id === 'detail-name'")
        assert await browser.text("#detail-name") == "alpha"
        await browser.until("document.querySelectorAll('#charts path').length > 0")
        await browser.until("document.querySelector('#events li time')")
        assert "is stable" not in await browser.text("#detail-state")

        await beta.send("other")
        await alpha.send("hello")
        await browser.until(
            "document.querySelector('#facts').innerText.includes('Sent')"
        )

        await browser.hover("#charts figure:nth-child(3) svg")
        await browser.until(
            "document.querySelector('#charts').innerText.includes('ago')"
        )

        await browser.click("#spans label:nth-of-type(2)")
        await browser.until(
            "document.querySelector('#charts svg').getAttribute('aria-label')"
            ".includes('last 30 minutes')"
        )

        await browser.click("#back")
        await browser.until("!document.querySelector('#overview').hidden")
        assert await names(browser) == ["alpha"]

        await browser.click("#troubled")
        await browser.until("!document.querySelector('#nothing').hidden")
        assert await browser.text("#nothing") == "No session matches."


async def test_the_keyboard_is_enough(browser: Browser) -> None:
    async with (
        ScriptedServer(hold) as server,
        session_to(server, "alpha") as alpha,
        monitor.serve(alpha) as page,
    ):
        await browser.open(page.url)
        # While it connects there is an alarm, which leads to it too.
        await browser.until(f"{VERDICT} === 'good'")
        await browser.until("document.querySelector('#alarms').hidden")
        reached = []
        for _ in range(20):
            await browser.press("Tab", code=9)
            reached.append(
                await browser.evaluate(
                    "document.activeElement.id || document.activeElement.textContent"
                )
            )
            outline = await browser.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle"
                " + getComputedStyle(document.activeElement.nextElementSibling ??"
                " document.activeElement).outlineStyle"
            )
            assert "solid" in outline or "auto" in outline, reached[-1]
            if reached[-1] == "alpha":
                break
        assert reached[0] == "Skip to the sessions"
        assert {"filter", "troubled", "Session", "Drops", "alpha"} <= set(reached)

        await browser.press("Enter", code=13)
        await browser.until("document.activeElement.id === 'detail-name'")


async def test_a_page_that_lost_the_program_does_not_go_on_as_if_all_were_well(
    browser: Browser,
) -> None:
    session = resilient_ws.connect("wss://example.com", name="alpha")
    async with monitor.serve(session) as page:
        await browser.open(page.url)
        await browser.until(f"{SEEN} === 1")
    await browser.until("'stale' in document.body.dataset")
    assert await browser.text("#verdict-text") == "The program does not answer"
    assert await browser.text("#contact-text") == "no contact"
    browser.complaints.clear()  # of the attempts to come back, which is what it should do

    async with monitor.serve(session, port=page.port):
        await browser.until("!('stale' in document.body.dataset)")
        await browser.until(
            "document.querySelector('#contact-text').innerText === 'live'"
        )
    browser.complaints.clear()


async def test_a_browser_gets_in_with_the_token_behind_the_hash(
    browser: Browser,
) -> None:
    session = resilient_ws.connect("wss://example.com", name="alpha")
    async with monitor.serve(session, token=TOKEN) as page:
        await browser.open(f"{page.url}#token={TOKEN.replace(' ', '%20')}")
        await browser.until(f"{SEEN} === 1")
        assert await browser.evaluate("location.href") == page.url
        await browser.reload()
        await browser.until(f"{SEEN} === 1")


async def test_a_browser_without_it_is_asked(browser: Browser) -> None:
    session = resilient_ws.connect("wss://example.com", name="alpha")
    async with monitor.serve(session, token=TOKEN) as page:
        await browser.open(page.url)
        await browser.until("document.activeElement.id === 'token'")
        await browser.write("a wrong token of twenty")
        await browser.press("Enter", code=13)
        await browser.until(
            "document.querySelector('#locked-error').innerText === 'That is not the token.'"
        )
        await browser.write(TOKEN)
        await browser.click("#locked-form button")
        await browser.until(f"{SEEN} === 1")
        assert await browser.evaluate("document.querySelector('#locked').hidden")


async def test_a_session_that_goes_leaves_the_page(browser: Browser) -> None:
    sessions = [resilient_ws.connect("wss://example.com", name=n) for n in "ab"]
    async with monitor.serve(lambda: sessions) as page:
        await browser.open(page.url + "#/session/2")
        await browser.until("document.querySelector('#detail-name').innerText === 'b'")
        sessions.pop()
        await browser.until("!document.querySelector('#overview').hidden")
        await browser.until(f"{SEEN} === 1")
        sessions.pop()
        await browser.until("!document.querySelector('#nothing').hidden")
        assert await browser.text("#verdict-text") == "There are no sessions"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "phone"])
async def test_axe_finds_nothing_serious(
    browser: Browser, width: int, *, dark: bool
) -> None:
    axe = node_module("axe-core/axe.min.js").read_text()
    async with (
        ScriptedServer(rejecting(503), hold) as server,
        session_to(server, "down", outbox=Outbox(max_messages=1)) as down,
        session_to(server, "well") as well,
        monitor.serve([down, well]) as page,
    ):
        await down.send("one that fills the outbox")
        await browser.show(width, 900, dark=dark)
        await browser.open(page.url)
        await browser.until(f"{VERDICT} === 'bad'")
        await browser.evaluate(f"{axe}; 0")
        for place in ("#/", "#/session/1"):
            await browser.evaluate(f"location.hash = '{place}'")
            await browser.until(
                f"document.querySelector('{'#overview' if place == '#/' else '#detail'}')"
                ".hidden === false"
            )
            if place != "#/":
                await browser.until("document.querySelector('#attempts th')")
            found = await browser.evaluate(
                "axe.run(document, {resultTypes: ['violations']}).then((result) =>"
                " result.violations.map((one) => [one.impact, one.id,"
                " one.nodes.map((node) => node.html + node.failureSummary)]))"
            )
            assert not found, json.dumps(found, indent=1)


async def test_a_phone_sees_everything_without_scrolling_sideways(
    browser: Browser,
) -> None:
    name = "a-session-with-a-name-that-is-much-longer-than-a-phone-is-wide" * 2
    session = resilient_ws.connect("wss://example.com", name=name)
    async with monitor.serve(session) as page:
        await browser.show(390, 844)
        for place in ("", "#/session/1"):
            await browser.open(page.url + place)
            await browser.until(f"document.body.innerText.includes('{name}')")
            assert await browser.evaluate("document.documentElement.scrollWidth") <= 390
