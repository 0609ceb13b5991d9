"""Where a part was when, as far as box and cloud have written it down."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.records.views import InspectionView
from shared.format import milliseconds


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A moment, in milliseconds after the trigger.

    at      None: within the step before, by the cloud's clock, which is another one
    within  what is known of how long it took
    """

    what: str
    at: float | None
    within: str = ""


def timeline(view: InspectionView) -> list[TimelineStep]:
    """In order. What nobody has written down is left out."""
    told = view.model_dump()
    steps = [TimelineStep("The camera is triggered", 0.0)]
    if view.verdict is not None and told["edge_ms"] is not None:
        head = f"the head took {milliseconds(told['head_ms'])}" if told["head_ms"] else ""
        steps.append(TimelineStep("The gate has decided at the edge", told["edge_ms"], head))
    if told["sent_ms"]:
        steps.append(TimelineStep("Its features go to the cloud", told["sent_ms"]))
    steps += _in_the_cloud(view)
    if told["answered_ms"]:
        way = told["answered_ms"] - told["sent_ms"] - (view.tail.cloud_ms if view.tail else 0.0)
        known = told["sent_ms"] and view.tail is not None and way > 0
        within = f"there and back took {milliseconds(way)} beside that" if known else ""
        steps.append(TimelineStep("The cloud's answer is at the box", told["answered_ms"], within))
    decider = view.line_decided_by or view.decided_by
    if told["total_ms"] is not None and decider is not None:
        verdict = view.line_verdict or view.verdict
        what = f"The actuator is told: {verdict}"
        if decider == "deadline":
            what = "The deadline has passed: the part is diverted"
        steps.append(TimelineStep(what, told["total_ms"]))
    return steps


def _in_the_cloud(view: InspectionView) -> list[TimelineStep]:
    tail = view.tail
    if tail is None:
        return []
    steps = []
    if tail.queue_ms is not None:
        alone = "alone" if tail.batch == 1 else f"with {tail.batch - 1} others"
        steps.append(
            TimelineStep(
                f"In the cloud: a batch begins, {alone}",
                None,
                f"{milliseconds(tail.queue_ms)} after its features came",
            )
        )
    if tail.tail_ms is not None:
        steps.append(
            TimelineStep("In the cloud: the tail runs", None, f"for {milliseconds(tail.tail_ms)}")
        )
    sent = f"{milliseconds(tail.cloud_ms)} after its features came"
    return [*steps, TimelineStep("In the cloud: the answer goes back", None, sent)]
