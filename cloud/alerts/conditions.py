"""What can be wrong with a line, a box or the cloud, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

AlertName = Literal[
    "cloud",
    "no_parts",
    "box_offline",
    "box_silent",
    "deadline_share",
    "reject_rate",
    "missed_pictures",
    "drift",
    "box_trouble",
    "promise",
    "review_queue",
    "certificate",
    "cloud_warning",
]
NAMES: tuple[AlertName, ...] = get_args(AlertName)
MINUTE_S, HOUR_S = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class AlertCondition:
    """Something that is not as it should be, now.

    site, line, device   what it is about; empty: all of them, or the cloud itself
    about     tells apart what is of one name at one place; empty where there can be one only
    says      what is wrong, one sentence
    fix       what to do about it, one sentence
    since     UTC seconds from which on it holds; None: from when it is first seen
    measure   what a rule's limit is compared with, in the unit of its kind; None: it just is so
    """

    name: AlertName
    says: str
    fix: str
    site: str = ""
    line: str = ""
    device: str = ""
    about: str = ""
    since: float | None = None
    measure: float | None = None

    @property
    def key(self) -> str:
        """Of all conditions of this name, the one at this place."""
        return f"{self.name}|{self.site}|{self.line}|{self.device}|{self.about}"


@dataclass(frozen=True, slots=True)
class AlertKind:
    """What is usual of the conditions of one name.

    title     for people
    unit      of the limit; empty: there is no limit
    limit     from where on it counts
    delay_s   for which it must hold before anybody is told
    clear_s   for which it must be gone before it counts as gone
    again_s   after which it is told again while it lasts
    """

    title: str
    unit: str = ""
    limit: float | None = None
    delay_s: float = 0.0
    clear_s: float = 30.0
    again_s: float = HOUR_S


KINDS: Mapping[AlertName, AlertKind] = {
    "cloud": AlertKind("Cloud has a problem", delay_s=15.0),
    "no_parts": AlertKind("No parts", "seconds without one", 60.0),
    "box_offline": AlertKind("Box offline", delay_s=10.0),
    "box_silent": AlertKind("Box silent", "seconds without a word", 90.0),
    "deadline_share": AlertKind(
        "Decided by deadline", "of 100 parts", 0.1, delay_s=10.0, clear_s=MINUTE_S
    ),
    "reject_rate": AlertKind(
        "Reject rate", "of 100 parts, whatever is usual", 20.0, clear_s=MINUTE_S
    ),
    "missed_pictures": AlertKind("Missed pictures", "of 100 parts", 0.1, clear_s=MINUTE_S),
    "drift": AlertKind("Line has drifted", "PSI", 0.25, clear_s=5 * MINUTE_S, again_s=4 * HOUR_S),
    "box_trouble": AlertKind("Box reports a problem", delay_s=30.0),
    "promise": AlertKind("Promise contradicted", again_s=24 * HOUR_S),
    "review_queue": AlertKind(
        "Parts wait for review", "hours", 4.0, clear_s=MINUTE_S, again_s=4 * HOUR_S
    ),
    "certificate": AlertKind("Certificate ends", again_s=24 * HOUR_S),
    "cloud_warning": AlertKind("Cloud warns", delay_s=MINUTE_S, again_s=24 * HOUR_S),
}

OF_NO_LINE: frozenset[AlertName] = frozenset({"cloud", "promise", "certificate", "cloud_warning"})
"""Of no line: their rules are set for all alike."""

Source = Callable[[], Sequence[AlertCondition]]
"""Says what is wrong now. Raises RecordsError: then nothing is known, and nothing has ended."""
