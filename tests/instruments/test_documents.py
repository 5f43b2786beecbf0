"""The dashboard and the rules name what exists, parse, and fire."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.instruments.exposed import LABELS, SAMPLES, names_in
from tests.servers.process import ROOT, daemon


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

FOLDER: Final = ROOT / "docs" / "observability"
RULES: Final = FOLDER / "alerts.yml"
DASHBOARD: Final = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS: Final = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
#: The expressions of the dashboard, with a value for each of its variables.
EXPRESSIONS: Final = {
    f"panel_{panel['id']}_{target['refId']}": target["expr"]
    .replace("$__rate_interval", "5m")
    .replace("$session", ".*")
    for panel in PANELS
    for target in panel["targets"]
}

SESSION: Final = 'resilient_ws_session_name="bot", job="bots"'


def promtool(*arguments: str) -> str:
    """Run promtool; return what it says, or fail with it."""
    done = subprocess.run(
        [daemon("promtool", "prometheus"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_every_rule_names_what_exists() -> None:
    assert len(ALERTS) > 10
    for rule in ALERTS.values():
        names = names_in(rule["expr"])
        assert names & SAMPLES
        assert names <= SAMPLES | LABELS
        told = " ".join(rule["annotations"].values())
        assert names_in(told.replace("$labels.", "")) <= SAMPLES | LABELS
        labels = set(re.findall(r"\$labels\.(\w+)", told))
        assert labels <= LABELS


def test_every_panel_names_what_exists() -> None:
    assert len(EXPRESSIONS) > 25
    for expression in EXPRESSIONS.values():
        names = names_in(expression)
        assert names & SAMPLES
        assert names <= SAMPLES | LABELS
    (session,) = (
        one for one in DASHBOARD["templating"]["list"] if one["name"] == "session"
    )
    assert names_in(session["query"]["query"]) <= SAMPLES | LABELS


def test_every_metric_has_a_panel() -> None:
    shown = set[str]().union(*map(names_in, EXPRESSIONS.values()))
    bare = {re.sub("_(bucket|count|sum)$", "", name) for name in SAMPLES - shown}
    drawn = {re.sub("_(bucket|count|sum)$", "", name) for name in shown}
    # What is seen by other numbers, or is for a closer look.
    assert bare - drawn == {
        "resilient_ws_connection_attempts_total",
        "resilient_ws_connection_opened_total",
        "resilient_ws_feed_odd_total",
        "resilient_ws_feed_outgoing_dropped_total",
        "resilient_ws_outage_duration_seconds",
        "resilient_ws_outbox_size_bytes",
    }


def test_panels_have_their_own_place() -> None:
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Yield where something of ours is missing, or is another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            yield from differences(value, theirs.get(name), f"{at}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        for place, (one, other) in enumerate(zip_longest(ours, theirs)):
            yield from differences(one, other, f"{at}[{place}]")
    elif ours != theirs:
        yield at


def test_the_dashboard_has_nothing_that_grafana_does_not_know() -> None:
    plugins.register_default_plugins()
    # What its schema does not have is lost on the way, and defaults are added.
    read = Dashboard.from_json(DASHBOARD)
    written = json.loads(JSONEncoder().encode(read))
    assert list(differences(DASHBOARD, written)) == []
    assert list(differences({**DASHBOARD, "nonsense": 1}, written)) == [".nonsense"]


def test_every_rule_parses() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))


def test_every_expression_of_the_dashboard_parses(tmp_path: pathlib.Path) -> None:
    recorded = [{"record": name, "expr": text} for name, text in EXPRESSIONS.items()]
    rules = {"groups": [{"name": "dashboard", "rules": recorded}]}
    (tmp_path / "rules.yml").write_text(json.dumps(rules))
    said = promtool("check", "rules", str(tmp_path / "rules.yml"))
    assert f"{len(EXPRESSIONS)} rules found" in said


def series(name: str, values: str, labels: str = "") -> dict[str, str]:
    more = f", {labels}" if labels else ""
    return {"series": f"{name}{{{SESSION}{more}}}", "values": values}


#: A session that does well for an hour; each alert has what changes that.
WELL: Final = {
    "resilient_ws_outage_age_seconds": ("0x60", ""),
    "resilient_ws_silence_age_seconds": ("1x60", ""),
    "resilient_ws_outbox_oldest_age_seconds": ("0x60", ""),
    "resilient_ws_connection_drops_total": ("1x60", ""),
    "resilient_ws_outbox_lost_total": ("0x60", ""),
    "resilient_ws_inbox_discarded_total": ("7x60", ""),
    "resilient_ws_events_discarded_total": ("0x60", ""),
    "resilient_ws_feed_gaps_total": ("2x60", ""),
    "resilient_ws_feed_dropped_total": ("0x60", ""),
    "resilient_ws_feed_subscription_active": ("5x60", ""),
    "resilient_ws_feed_subscription_live": ("5x60", ""),
    "resilient_ws_loop_lag_seconds_count": ("1x60", ""),
    "resilient_ws_session_state": (
        "1x60",
        'resilient_ws_session_state="open", error_type=""',
    ),
    "resilient_ws_attempt_duration_seconds_count": ("9x60", 'error_type="503"'),
}
FIRES: Final = {
    "SessionDown": series("resilient_ws_outage_age_seconds", "0+60x60"),
    "SessionEnded": series(
        "resilient_ws_session_state",
        "1x60",
        'resilient_ws_session_state="closed", error_type="GaveUp"',
    ),
    "SessionSilent": series("resilient_ws_silence_age_seconds", "0+60x60"),
    "SessionFlaps": series("resilient_ws_connection_drops_total", "0+1x60"),
    "CredentialsRefused": series(
        "resilient_ws_attempt_duration_seconds_count", "0+1x60", 'error_type="401"'
    ),
    "OutboxStuck": series("resilient_ws_outbox_oldest_age_seconds", "0+60x60"),
    "MessagesLost": series("resilient_ws_outbox_lost_total", "0+1x60"),
    "PingsSlow": [
        series("resilient_ws_ping_duration_seconds_bucket", "0+1x60", f'le="{le}"')
        for le in ("2.5", "+Inf")
    ],
    "EventLoopBlocked": series("resilient_ws_loop_lag_seconds_count", "0+1x60"),
    "CallbacksTooSlow": series("resilient_ws_events_discarded_total", "0+1x60"),
    "FeedHasGaps": series("resilient_ws_feed_gaps_total", "0+1x60"),
    "FeedTooSlow": series("resilient_ws_feed_dropped_total", "0+1x60"),
    "FeedNotLive": series("resilient_ws_feed_subscription_live", "3x60"),
}


def firing(tmp_path: pathlib.Path, bad: list[dict[str, str]]) -> set[str]:
    """Return the alerts that fire with these series in place of the good ones."""
    named = {one["series"] for one in bad}
    good = [series(name, values, more) for name, (values, more) in WELL.items()]
    input_series = [*bad, *(one for one in good if one["series"] not in named)]
    # promtool tells which of the expected alerts there are not: all are expected.
    every = [
        {"eval_time": "50m", "alertname": name, "exp_alerts": []} for name in ALERTS
    ]
    test = {"interval": "1m", "input_series": input_series, "alert_rule_test": every}
    plan = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "plan.yml").write_text(json.dumps(plan))
    done = subprocess.run(
        [daemon("promtool", "prometheus"), "test", "rules", str(tmp_path / "plan.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert "FAILED" in said if done.returncode else "SUCCESS" in said, said
    return set(re.findall(r"alertname: ?(\w+)", said))


def test_no_alert_fires_while_all_is_well(tmp_path: pathlib.Path) -> None:
    assert firing(tmp_path, []) == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_for_its_reason_and_no_other(
    name: str, tmp_path: pathlib.Path
) -> None:
    bad: Any = FIRES[name]
    assert firing(tmp_path, bad if isinstance(bad, list) else [bad]) == {name}
