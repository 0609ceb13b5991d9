"""Numbers and facts in words, for the pages."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.records.views import DeviceView, InspectionView, LabelView, Summary, TailView
from shared.format import decimal, milliseconds, size
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


def site_state(
    devices: Sequence[DeviceView],
    summary: Summary,
    problems: Sequence[str],
    contradictions: Sequence[str] = (),
) -> str:
    """One line for the head of the page: what matters most now."""
    if problems or contradictions:
        return "Needs attention" if problems else "Labels contradict a promise: certify anew"
    offline = sum(device.state == "offline" for device in devices)
    troubled = sum(bool(device.problems) for device in devices)
    if offline:
        return f"{offline} of {len(devices)} devices offline"
    if troubled:
        return f"{troubled} of {len(devices)} devices report problems"
    if not devices and not summary.inspected:
        return "Waiting for the first device"
    if summary.by_decider["deadline"]:
        late = summary.by_decider["deadline"]
        return f"Running; {late} {'part' if late == 1 else 'parts'} decided by deadline"
    return "All well"
