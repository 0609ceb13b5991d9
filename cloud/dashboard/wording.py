"""Numbers and facts in words, for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from urllib.parse import urlencode

from cloud.health.line_state import Condition, ConditionName, LineHealth, Word
from cloud.records.views import DeviceView, InspectionView, LabelView, TailView
from shared.contracts import DECIDERS, Decider
from shared.format import NONE, decimal, milliseconds, number, size
from shared.inspection import LINE_COLUMNS, NOVELTY_FIELD

DECIDED_BY = {
    "edge": "the device alone",
    "cloud": "the cloud, in time",
    "deadline": "the deadline: no answer came in time, so the part was diverted to be safe",
    "inspector": "an inspector",
}
VERDICT_SIGN = {"pass": "✓", "reject": "✕", "review": "?"}
PROMISE_SIGN = {"unknown": "?", "standing": "i", "contradicted": "!"}
PROMISE_STATE = {
    "unknown": "nothing known yet",
    "standing": "not contradicted",
    "contradicted": "contradicted: certify anew",
}
DEVICE_SIGN = {"online": "●", "stopping": "◐", "offline": "○"}
WORD_SIGN: Mapping[Word, str] = {
    "well": "✓",
    "starting": "…",
    "off": "–",
    "empty": "·",
    "warn": "!",
    "bad": "✕",
}
LINE_WORD: Mapping[Word, str] = {
    "well": "Well",
    "starting": "Starting",
    "off": "Off",
    "empty": "No parts yet",
    "warn": "Look",
    "bad": "Stopped",
}
CONDITION_WORD: Mapping[ConditionName, str] = {
    "cloud": "Cloud ill",
    "no_parts": "No parts",
    "box_offline": "Box offline",
    "box_silent": "Box silent",
    "deadline_share": "Too late",
    "reject_rate": "Rejects up",
    "missed_pictures": "No pictures",
    "box_trouble": "Box trouble",
    "promise": "Promise broken",
    "review_queue": "Review late",
    "cloud_warning": "Cloud warns",
}


@dataclass(frozen=True, slots=True)
class Share:
    """A decider's part of a bar: per cent from and of the whole."""

    decider: Decider
    start: float
    width: float


def score(number: float | None) -> str:
    return "not a number" if number is None else decimal(number)


def kind(tail: TailView) -> str | None:
    """The kind of defect as people read it: `crack, 0.93`."""
    if tail.kind is None or tail.kind_probability is None:
        return None
    return f"{tail.kind}, {tail.kind_probability:.2f}"


def fields(view: InspectionView) -> list[tuple[str, str]]:
    """What the line and plug-ins say of the part: titles and texts."""
    reported = view.model_dump()
    said = [(column.stored.title, reported[column.name]) for column in LINE_COLUMNS]
    said += [
        (name, value if isinstance(value, str) else f"{value:g}")
        for name, value in _said(view).items()
        if name != NOVELTY_FIELD or not awaited(view)
    ]
    return [(title, text) for title, text in said if text]


def awaited(view: InspectionView) -> bool:
    """A person shall look at it who knows nothing of what the system made of it."""
    return bool(view.control) and view.label is None


def _said(view: InspectionView) -> dict[str, str | float]:
    return view.model_dump()["fields"] or {}


def story(view: InspectionView) -> list[str]:
    """How this part came to its verdict, sentence by sentence."""
    if awaited(view):
        return [
            "This part was drawn at random for a person to look at.",
            "What the system made of it is told here once an inspector has spoken.",
        ]
    told = [_head_told(view)]
    tail = view.tail
    if tail is not None:
        told.append(
            f"The tail's score was {score(tail.score)}: {tail.verdict}. "
            f"It took {milliseconds(tail.cloud_ms)} in the cloud."
        )
        likeliest = kind(tail)
        if likeliest is not None:
            told.append(f"If it is defective, its defect is most likely of the kind {likeliest}.")
    elif view.decision == "escalate" and view.verdict is not None:
        told.append("No answer of the tail is stored for it.")
    if view.verdict is None:
        told.append("The device has not reported yet what it did.")
    elif view.decided_by is not None:
        told += _verdict_told(view)
    if view.contradicted and tail is not None:
        told.append(
            f"The tail's answer came too late: it says {tail.verdict}, the part was treated as "
            f"{view.line_verdict or view.verdict}."
        )
    if view.label is not None:
        if view.label.settles is False:
            told.append(
                f"When an inspector spoke the part had already gone as {view.verdict}, which stays "
                "its verdict."
            )
        told.append(_label_told(view.label, view.device))
    return told


def _verdict_told(view: InspectionView) -> list[str]:
    verdict, decider = view.line_verdict or view.verdict, view.line_decided_by or view.decided_by
    if verdict is None or decider is None:
        return []
    told = [f"Verdict: {verdict}. Decided by {DECIDED_BY[decider]}."]
    if view.control:
        told.append(
            "It was drawn at random for a person to look at. The line says what it would have been "
            f"without that: {view.control}."
        )
    if view.line_verdict is not None:
        told.append(f"An inspector has settled it since: {view.verdict}.")
    elif verdict == "review" or decider == "deadline":
        told.append("It waits for an inspector.")
    return told


def _label_told(label: LabelView, device: str) -> str:
    said = f"{label.inspector} says: {label.verdict}"
    if label.kind is not None:
        said += f", {label.kind}"
    if label.delivered_at is None:
        return f"{said}. {device} has not got this label yet."
    if label.has_picture:
        return f"{said}. {device} keeps the picture to learn from."
    return f"{said}. {device} has no picture any more, so nothing is learned from it."


def _head_told(view: InspectionView) -> str:
    if view.decision == "escalate":
        found = _unsure(view)
        if view.score is not None:
            found += f": its score was {score(view.score)}"
        sent = f" ({size(view.escalated_bytes)})" if view.escalated_bytes else ""
        told = f"{found}. So the device sent features{sent}, not the picture."
        if view.tail is not None and view.tail.coarseness > 1:
            told += (
                f" They were sent coarser ×{view.tail.coarseness}: at their finest they would "
                "have been larger than the bundle allows, as those of noisy pictures are."
            )
        return told
    if view.decision == "review":
        return (
            f"{_unsure(view)}: its score was {score(view.score)}. There is no cloud to ask, so a "
            "person shall look."
        )
    return (
        f"The head was sure: its score was {score(view.score)}, which is a {view.decision}. "
        "Nothing was sent to be judged."
    )


def _unsure(view: InspectionView) -> str:
    if NOVELTY_FIELD in _said(view):
        return "It looks like nothing the network was shown"
    return "The head was not sure"


def whose_score(view: InspectionView) -> str:
    """The score that decided, and whose it is: where the tail has spoken, its."""
    if view.tail is not None:
        return f"tail {score(view.tail.score)}"
    return "no score" if view.score is None else f"head {score(view.score)}"


def line_word(state: LineHealth) -> str:
    """One or two words for how a line is; `WORD_SIGN` goes before it."""
    if state.conditions:
        return CONDITION_WORD[state.conditions[0].name]
    return LINE_WORD[state.word]


def speed(per_minute: float | None) -> str:
    """Parts a minute."""
    if per_minute is None:
        return NONE
    return f"{per_minute:.1f}" if per_minute < 10 else number(per_minute)


def share(part: int, whole: int) -> str:
    """As short as can be read from afar: 3.4 %, 12 %."""
    if not whole:
        return NONE
    found = 100 * part / whole
    return f"{found:.1f} %" if 0 < found < 9.95 else f"{found:.0f} %"


def within(bounds: tuple[float, float] | None) -> str:
    """A time that is known to lie within bounds, milliseconds."""
    if bounds is None:
        return NONE
    low, high = bounds
    if high == inf:
        return f"more than {milliseconds(low)}"
    return f"at most {milliseconds(high)}"


def shares(by_decider: Mapping[Decider, int]) -> list[Share]:
    """Parts of a bar, in the order of the deciders."""
    whole, made, start = sum(by_decider.values()), [], 0.0
    for decider in DECIDERS:
        count = by_decider.get(decider, 0)
        if count:
            width = 100 * count / whole
            made.append(Share(decider, start, width))
            start += width
    return made


def address(path: str, **wanted: object) -> str:
    """A page with these filters; what is empty is left out."""
    said = {name: value for name, value in wanted.items() if value not in {"", None}}
    return f"{path}?{urlencode(said)}" if said else path


def of_device(conditions: Iterable[Condition], device: DeviceView) -> list[Condition]:
    """Those of one box."""
    own = (device.site, device.line, device.device)
    return [one for one in conditions if (one.site, one.line, one.device) == own]
