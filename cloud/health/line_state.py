"""What is to be said of a line: named conditions, each with its evidence, since when and why.

Pure: counts and devices in, conditions out. `cloud.health.line_watch` reads what they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from cloud.health.rate_watch import NOTHING, Counted, RateFinding, fast_rate, found_rates
from cloud.records.views import DeviceView

ConditionName = Literal[
    "cloud",
    "no_parts",
    "box_offline",
    "box_silent",
    "deadline_share",
    "reject_rate",
    "missed_pictures",
    "box_trouble",
    "promise",
    "review_queue",
    "cloud_warning",
]
CONDITIONS: tuple[ConditionName, ...] = get_args(ConditionName)
"""What matters most comes first."""
Severity = Literal["bad", "warn"]
Word = Literal["well", "starting", "off", "empty", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class LineLimits:
    """From where on something is abnormal; shares are 0–1, times seconds.

    quiet_s         no part for so long, or for QUIET_GAPS usual gaps between parts if that is
                    longer, and parts are missing
    quiet_most_s    the most that is waited, however slow the line
    reject_most     a reject rate that no line should have, whatever it had before
    deadline_most   parts that the deadline decides
    missed_most     parts without a picture, or without a score
    review_s        the oldest part that waits for a person
    silent_s        a box that has not spoken for so long, or for SILENT_BEATS of its beats if that
                    is longer
    """

    quiet_s: float = 60.0
    quiet_most_s: float = 3600.0
    reject_most: float = 0.2
    deadline_most: float = 0.001
    missed_most: float = 0.001
    review_s: float = 4 * 3600.0
    silent_s: float = 90.0


QUIET_GAPS = 8.0
SILENT_BEATS = 3.0
# Of a box from before the heartbeat, which says nothing while nothing changes.
SILENT_WITHOUT_BEAT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is not as it should be.

    name      what kind it is; with the place it is the same condition from look to look
    site, line, device   where; empty: not of one
    since     UTC seconds; None: not known
    says      one sentence for people, without the time
    fix       what to do
    """

    name: ConditionName
    severity: Severity
    says: str
    fix: str
    since: float | None = None
    site: str = ""
    line: str = ""
    device: str = ""

    @property
    def place(self) -> str:
        """For people; empty for the whole plant."""
        return " / ".join(one for one in (self.site, self.line, self.device) if one)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same from look to look."""
        return (self.name, self.site, self.line, self.device)


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What is known of one line.

    minutes         what came, by the start of the minute, UTC seconds; those with parts
    past            what came in the day before these minutes
    first_at, last_at   the first and last part in all that time; None: none came
    oldest_waiting  when the oldest part came that still waits for a person; None: none does
    """

    site: str
    line: str
    minutes: Mapping[int, Counted] = field(default_factory=dict)
    past: Counted = NOTHING
    first_at: float | None = None
    last_at: float | None = None
    devices: Sequence[DeviceView] = ()
    oldest_waiting: float | None = None


@dataclass(frozen=True, slots=True)
class LineHealth:
    """How a line is now.

    word            well: parts come, a whole minute was judged and nothing is wrong; starting: too
                    little has come to say so; off: every box said that it stops; empty: nothing
                    ever came; warn, bad: the worst of `conditions`
    since           of the first condition; of a line that is off when it stopped
    per_minute      parts a minute over the last five; None: none came lately
    """

    site: str
    line: str
    word: Word
    conditions: tuple[Condition, ...] = ()
    since: float | None = None
    per_minute: float | None = None


def line_state(
    facts: LineFacts,
    rates: Sequence[RateFinding],
    now: float,
    limits: LineLimits = LineLimits(),
) -> LineHealth:
    """rates: of `found_rates`, which need be looked at once a minute only"""
    conditions = [
        *_no_parts(facts, now, limits),
        *(one for device in facts.devices for one in _of_box(device, now, limits)),
        *_rates(facts, rates),
        *_queue(facts, now, limits),
    ]
    conditions.sort(key=lambda one: CONDITIONS.index(one.name))
    stopped = [one.seen_at for one in facts.devices if one.state == "stopping"]
    off = bool(stopped) and len(stopped) == len(facts.devices)
    word = _word(facts, conditions, now, off=off)
    since = conditions[0].since if conditions else max(stopped, default=None) if off else None
    speed = None if off else fast_rate(facts.minutes, now)
    return LineHealth(facts.site, facts.line, word, tuple(conditions), since, speed)


def line_rates(
    facts: LineFacts,
    now: float,
    limits: LineLimits = LineLimits(),
) -> list[RateFinding]:
    """What the whole minutes up to now say of its rates."""
    return found_rates(
        facts.minutes,
        facts.past,
        now,
        most={
            "reject_rate": limits.reject_most,
            "deadline_share": limits.deadline_most,
            "missed_pictures": limits.missed_most,
        },
    )


def _word(facts: LineFacts, conditions: Sequence[Condition], now: float, *, off: bool) -> Word:
    if any(one.severity == "bad" for one in conditions):
        return "bad"
    if conditions:
        return "warn"
    if off:
        return "off"
    if facts.last_at is None:
        return "empty"
    judged = any(at + 60 <= now for at in facts.minutes)
    return "well" if judged and facts.devices else "starting"


def usual_gap_s(facts: LineFacts) -> float | None:
    """Seconds from part to part, its pauses included; None where fewer than two came."""
    parts = facts.past.parts + sum(minute.parts for minute in facts.minutes.values())
    if parts < 2 or facts.first_at is None or facts.last_at is None:
        return None
    recent = sum(minute.parts for minute in facts.minutes.values())
    if recent >= 2:
        began = max(facts.first_at, min(facts.minutes))
        return max(facts.last_at - began, 1e-3) / max(recent - 1, 1)
    return max(facts.last_at - facts.first_at, 1e-3) / (parts - 1)


def _no_parts(facts: LineFacts, now: float, limits: LineLimits) -> list[Condition]:
    if facts.last_at is None:
        return []
    if facts.devices and not any(one.state == "online" for one in facts.devices):
        # Off, or away: then that is said, and parts are not to be expected here.
        return []
    gap = usual_gap_s(facts)
    wait = limits.quiet_most_s if gap is None else QUIET_GAPS * gap
    if now - facts.last_at <= min(max(limits.quiet_s, wait), limits.quiet_most_s):
        return []
    usual = "parts came before" if gap is None else f"about {_a_minute(gap)} came before"
    return [
        Condition(
            "no_parts",
            "bad",
            f"no parts come, where {usual}",
            "see whether the line runs; then camera, trigger and link of its boxes",
            facts.last_at,
            facts.site,
            facts.line,
        )
    ]


def _a_minute(gap_s: float) -> str:
    rate = 60.0 / gap_s
    if rate >= 1.0:
        return f"{rate:,.0f} a minute"
    return f"{rate * 60:,.0f} an hour" if rate * 60 >= 1.0 else "one in several hours"


def _of_box(device: DeviceView, now: float, limits: LineLimits) -> list[Condition]:
    where = (device.site, device.line, device.device)
    if device.state == "offline":
        return [
            Condition(
                "box_offline",
                "bad",
                "the box is offline: its connection was lost",
                "see its power and network; it keeps what it decides and sends it later",
                device.seen_at,
                *where,
            )
        ]
    silent = limits.silent_s
    if device.state == "online" and device.beat_s > 0:
        silent = max(silent, SILENT_BEATS * device.beat_s)
    elif device.state == "online":
        silent = max(silent, SILENT_WITHOUT_BEAT_S)
    if device.state == "online" and now - device.seen_at > silent:
        beats = f"every {device.beat_s:.0f} s" if device.beat_s else "when something changes"
        return [
            Condition(
                "box_silent",
                "bad",
                f"the box calls itself online and has long said nothing; it should speak {beats}",
                "see whether its agent still runs: `splitsight doctor` on the box",
                device.seen_at,
                *where,
            )
        ]
    if device.state == "online" and device.problems:
        more = len(device.problems) - 1
        says = device.problems[0] + (f" (and {more} more)" if more else "")
        return [
            Condition("box_trouble", "warn", f"the box says: {says}", "see the box", None, *where)
        ]
    return []


def _rates(facts: LineFacts, rates: Sequence[RateFinding]) -> list[Condition]:
    return [
        Condition(one.name, one.severity, one.says, one.fix, one.since, facts.site, facts.line)
        for one in rates
    ]


def _queue(facts: LineFacts, now: float, limits: LineLimits) -> list[Condition]:
    if facts.oldest_waiting is None or now - facts.oldest_waiting <= limits.review_s:
        return []
    hours = limits.review_s / 3600
    return [
        Condition(
            "review_queue",
            "warn",
            f"a part has waited for a person for more than {hours:g} h",
            "review what waits, the oldest first",
            facts.oldest_waiting,
            facts.site,
            facts.line,
        )
    ]
