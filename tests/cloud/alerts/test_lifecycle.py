"""How an alert comes, is looked at, and goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.alerts import lifecycle
from cloud.alerts.conditions import AlertCondition
from cloud.alerts.lifecycle import OPEN, STATES, Alert, begun, step
from cloud.alerts.rules import Rule, RuleBook
from shared.errors import AlertRefused

NOON = 1_800_000_000.0
BAD = AlertCondition("reject_rate", "Half are rejected.", "Look.", "plant", "line-1", since=NOON)
RULE = Rule("reject_rate", delay_s=10, clear_s=30, again_s=600)


def raised(now: float = NOON + 10) -> Alert:
    alert = begun(BAD, RULE, "a1", now).alert
    assert alert is not None
    assert alert.state == "unacknowledged"
    return alert


def told(found: lifecycle.Step) -> list[str]:
    return [event.what for event in found.events]


def test_a_condition_that_does_not_last_for_the_delay_is_no_alert() -> None:
    new = begun(BAD, RULE, "a1", NOON + 5)
    assert new.alert is not None
    assert new.alert.state == "pending"
    assert step(new.alert, None, RULE, NOON + 7).alert is None


def test_a_condition_that_lasts_is_raised_once_and_counted_from_when_it_began() -> None:
    new = begun(BAD, RULE, "a1", NOON + 5).alert
    assert new is not None
    later = step(new, BAD, RULE, NOON + 10)
    assert later.alert is not None
    assert told(later) == ["raised"]
    assert later.alert.began_at == NOON
    assert told(step(later.alert, BAD, RULE, NOON + 12)) == []


def test_what_comes_and_goes_within_the_clear_time_is_one_alert() -> None:
    alert = raised()
    for at in range(0, 300, 20):
        seen = step(alert, BAD if at % 40 else None, RULE, NOON + 20 + at)
        assert told(seen) == []
        assert seen.alert is not None
        alert = seen.alert
    assert alert.state == "unacknowledged"


def test_what_returns_to_normal_unseen_stays_until_somebody_acknowledges_it() -> None:
    gone = step(raised(), None, RULE, NOON + 20).alert
    assert gone is not None
    returned = step(gone, None, RULE, NOON + 50)
    assert told(returned) == ["returned"]
    assert returned.alert is not None
    assert step(returned.alert, None, RULE, NOON + 9000).alert == returned.alert
    over = lifecycle.acknowledged(returned.alert, "ada", NOON + 9000)
    assert over.alert is not None
    assert (over.alert.state, over.alert.ended_at) == ("normal", NOON + 9000)


def test_what_is_back_soon_is_not_told_again_and_what_is_back_late_is() -> None:
    gone = step(raised(), None, RULE, NOON + 20).alert
    assert gone is not None
    returned = step(gone, None, RULE, NOON + 50).alert
    assert returned is not None
    soon = step(returned, BAD, RULE, NOON + 60)
    assert (told(soon), soon.alert and soon.alert.times) == (["back"], 2)
    assert told(step(returned, BAD, RULE, NOON + 700)) == ["again"]


def test_an_acknowledged_alert_that_lasts_is_raised_again_and_one_that_goes_is_over() -> None:
    seen = lifecycle.acknowledged(raised(), "ada", NOON + 15).alert
    assert seen is not None
    assert (seen.state, seen.by) == ("acknowledged", "ada")
    assert told(step(seen, BAD, RULE, NOON + 600)) == []
    again = step(seen, BAD, RULE, NOON + 611)
    assert told(again) == ["again"]
    assert again.alert is not None
    assert again.alert.state == "unacknowledged"
    gone = step(seen, None, RULE, NOON + 20).alert
    assert gone is not None
    assert told(step(gone, None, RULE, NOON + 50)) == ["ended"]


def test_a_shelved_alert_is_silent_until_its_time_and_then_told_if_it_lasts() -> None:
    alert = lifecycle.shelved(raised(), NOON + 5000, "lamp ordered", "ada", NOON + 15).alert
    assert alert is not None
    for at in (700, 3000, 4999):
        seen = step(alert, BAD, RULE, NOON + at)
        assert told(seen) == []
        assert seen.alert is not None
        assert seen.alert.state == "shelved"
    assert told(step(alert, BAD, RULE, NOON + 5000)) == ["again"]
    quiet = step(alert, None, RULE, NOON + 5000)
    assert quiet.alert is not None
    assert (told(quiet), quiet.alert.state) == (["ended"], "normal")


def test_unshelved_it_is_told_again_if_it_lasts_and_over_if_it_went_meanwhile() -> None:
    alert = lifecycle.shelved(raised(), NOON + 5000, "lamp ordered", "ada", NOON + 15).alert
    assert alert is not None
    back = lifecycle.unshelved(alert, "bob", NOON + 100).alert
    assert back is not None
    assert (back.state, back.by, back.until) == ("unacknowledged", "bob", None)
    quiet = step(alert, None, RULE, NOON + 100).alert
    assert quiet is not None
    over = lifecycle.unshelved(quiet, "bob", NOON + 200).alert
    assert over is not None
    assert over.state == "normal"


@pytest.mark.parametrize(
    ("until", "reason", "wrong"),
    [
        (NOON + 20, " ", "no reason"),
        (NOON, "why", "until then"),
        (NOON + 8 * 86400, "why", "until then"),
    ],
)
def test_shelving_needs_a_reason_and_an_end(until: float, reason: str, wrong: str) -> None:
    with pytest.raises(AlertRefused, match=wrong):
        lifecycle.shelved(raised(), until, reason, "ada", NOON + 15)


def test_what_is_over_or_seen_cannot_be_acknowledged() -> None:
    seen = lifecycle.acknowledged(raised(), "ada", NOON + 15).alert
    assert seen is not None
    with pytest.raises(AlertRefused, match="acknowledged"):
        lifecycle.acknowledged(seen, "ada", NOON + 16)
    with pytest.raises(AlertRefused, match="normal"):
        lifecycle.shelved(replace(seen, state="normal"), NOON + 60, "why", "ada", NOON + 16)
    with pytest.raises(AlertRefused, match="only a shelved"):
        lifecycle.unshelved(seen, "ada", NOON + 16)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["on", "off", "acknowledge", "shelve", "unshelve"]), st.floats(0.1, 900)
    ),
    max_size=60,
)


@given(MOVES)
def test_whatever_happens_an_alert_that_lasts_is_told_and_one_that_is_over_had_gone(
    moves: list[tuple[str, float]],
) -> None:
    now, alert = NOON + 10, raised()
    lasts, told_at, gone_since = True, now, None
    for move, pause in moves:
        now += pause
        if move in {"on", "off"}:
            lasts = move == "on"
            found = step(alert, BAD if lasts else None, RULE, now)
            gone_since = None if lasts else gone_since or now
        else:
            try:
                found = {
                    "acknowledge": lambda a, n: lifecycle.acknowledged(a, "ada", n),
                    "shelve": lambda a, n: lifecycle.shelved(a, n + 500, "why", "ada", n),
                    "unshelve": lambda a, n: lifecycle.unshelved(a, "ada", n),
                }[move](alert, now)
            except AlertRefused:
                continue
        assert found.alert is not None
        alert = found.alert
        assert alert.state in STATES
        if set(told(found)) & {"raised", "again"}:
            told_at = now
        if alert.state == "normal":
            assert not lasts
            assert gone_since is not None
            return
        assert alert.state in OPEN
        if move == "on" and alert.state in {"unacknowledged", "acknowledged"}:
            assert now - told_at < RULE.again_s + 500


def test_a_line_has_its_own_rule_before_that_of_everywhere_before_the_usual() -> None:
    own, everywhere = Rule("reject_rate", "plant", "line-1", limit=1), Rule("reject_rate", limit=2)
    book = RuleBook([own, everywhere])
    assert book.of("reject_rate", "plant", "line-1") == own
    assert book.of("reject_rate", "plant", "line-2") == everywhere
    assert book.of("drift", "plant", "line-1") == Rule.usual("drift", "plant", "line-1")


def test_a_rule_counts_what_reaches_its_limit_and_nothing_where_it_is_off() -> None:
    drift = AlertCondition("drift", "x", "y", measure=0.3)
    assert Rule("drift", limit=0.25).holds(drift)
    assert not Rule("drift", limit=0.35).holds(drift)
    assert not Rule("drift", enabled=False).holds(drift)
    assert Rule("drift", limit=0.35).holds(replace(drift, measure=None))
