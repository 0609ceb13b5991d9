"""Whether what a bundle promises still agrees with what inspectors say of randomly drawn parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from cloud.records.control_tally import ControlTally, tally_controls
from cloud.records.database import Database
from shared.certification.certificate import interval
from shared.certification.confidence_sequence import interval_at_any_time
from shared.certification.promises import Certificate, percent

Certificates = Callable[[], Mapping[str, Certificate | None]]
PromiseState = Literal["unknown", "standing", "contradicted"]

# Of intervals where no certificate says it.
USUAL_DELTA = 0.05


class ShareInterval(BaseModel):
    """Holds a share, 0–1."""

    low: float
    high: float


class RunningShare(BaseModel):
    """A share of labelled control parts, as it is by now.

    With no parts the intervals are 0 to 1.
    """

    seen: int
    parts: int
    at_any_time: ShareInterval = Field(
        description="holds at all times together, however often somebody looks"
    )
    one_look: ShareInterval = Field(
        description="exact (Clopper and Pearson 1934), for who looks once, at a time fixed before"
    )


class PromisedShare(RunningShare):
    """A share that a certificate limits."""

    promised: float | None = Field(description="the limit, 0–1; null: nothing is promised")
    state: PromiseState = Field(
        description="unknown: nothing is promised, or no label can speak about it; standing: no "
        "label contradicts it, which does not prove it; contradicted: certify anew"
    )
    says: str = Field(description="the same for people")


class RunningPromise(BaseModel):
    """What a served bundle promises of the whole system, beside what labels say.

    Only parts count that were drawn at random (`control` of an inspection) and labelled since:
    which others somebody labelled was no chance.
    """

    bundle: str
    state: PromiseState = Field(
        description="contradicted where one of both is, unknown where both are"
    )
    confidence: float = Field(description="of each interval, 0–1")
    drawn: int = Field(description="control parts of this bundle")
    labelled: int = Field(description="those of them that an inspector has labelled")
    says: str = Field(description="of control parts, for people")
    escape: PromisedShare = Field(description="of defective parts: the system would pass them")
    false_reject: PromisedShare = Field(
        description="of good parts: it would reject them without a person"
    )
    defective_among_passed: RunningShare = Field(
        description="of parts that the system would pass: they are defective"
    )
    good_among_rejected: RunningShare = Field(
        description="of parts that it would reject: they are good"
    )

    @property
    def contradictions(self) -> list[str]:
        """What labels contradict, for people."""
        return [one.says for one in (self.escape, self.false_reject) if one.state == "contradicted"]


class PromiseMonitor:
    """Looks at every served bundle. Safe to share between threads."""

    def __init__(self, database: Database, serves: Certificates) -> None:
        """serves: the bundles that are served now, by id, with what they promise"""
        self._database = database
        self._serves = serves

    def __call__(self) -> list[RunningPromise]:
        """By bundle id. Raises RecordsError."""
        serves = self._serves()
        tallies = tally_controls(self._database, serves)
        return [_running(bundle, serves[bundle], tallies[bundle]) for bundle in sorted(serves)]


def _running(bundle: str, certificate: Certificate | None, tally: ControlTally) -> RunningPromise:
    delta = certificate.delta if certificate else USUAL_DELTA
    passed, rejected = tally.defective("pass"), tally.good("reject")
    escape = _promised(
        _held(_share(passed, tally.defective(), delta), tally.outcomes("reject", "pass"), delta),
        certificate.escape if certificate else None,
        "of defective parts pass",
        1 - delta,
    )
    false_reject = _promised(
        _held(_share(rejected, tally.good(), delta), tally.outcomes("pass", "reject"), delta),
        certificate.false_reject if certificate else None,
        "of good parts are rejected without a person",
        1 - delta,
    )
    states = {escape.state, false_reject.state}
    state: PromiseState = "standing" if "standing" in states else "unknown"
    return RunningPromise(
        bundle=bundle,
        state="contradicted" if "contradicted" in states else state,
        confidence=1 - delta,
        drawn=tally.drawn,
        labelled=tally.labelled,
        says=_of_controls(tally),
        escape=escape,
        false_reject=false_reject,
        defective_among_passed=_share(passed, passed + tally.good("pass"), delta),
        good_among_rejected=_share(rejected, rejected + tally.defective("reject"), delta),
    )


def _share(seen: int, parts: int, delta: float) -> RunningShare:
    low, high = interval_at_any_time(seen, parts, delta)
    once_low, once_high = interval(seen, parts, delta) if parts else (0.0, 1.0)
    return RunningShare(
        seen=seen,
        parts=parts,
        at_any_time=ShareInterval(low=low, high=high),
        one_look=ShareInterval(low=once_low, high=once_high),
    )


def _held(found: RunningShare, outcomes: Sequence[bool], delta: float) -> RunningShare:
    """With the highest low end that there ever was: all of them hold together, so what has once
    been shown stays shown.

    outcomes   of the labelled parts, in order
    """
    low, seen = 0.0, 0
    for parts, happened in enumerate(outcomes, start=1):
        if happened:
            # The low end rises with these alone.
            seen += 1
            low = max(low, interval_at_any_time(seen, parts, delta)[0])
    high = max(low, found.at_any_time.high)
    return found.model_copy(update={"at_any_time": ShareInterval(low=low, high=high)})


def _promised(
    found: RunningShare, limit: float | None, what: str, confidence: float
) -> PromisedShare:
    state: PromiseState = "unknown"
    if limit is None:
        says = f"Nothing is promised of how many {what}: `splitsight cloud certify` does."
    elif not found.parts:
        says = (
            f"Promised: at most {percent(limit)} {what}. No control part is labelled that could "
            "say so: nothing is known yet."
        )
    else:
        state = "contradicted" if found.at_any_time.low > limit else "standing"
        says = (
            f"Promised: at most {percent(limit)} {what}. Seen among control parts: {found.seen} of "
            f"{found.parts}, so between {percent(found.at_any_time.low)} and "
            f"{percent(found.at_any_time.high)} with {percent(confidence)} confidence at any time."
        )
    if state == "contradicted":
        says += " Labels contradict the promise: certify anew, on parts of today."
    return PromisedShare(**dict(found), promised=limit, state=state, says=says)


def _of_controls(tally: ControlTally) -> str:
    if not tally.drawn:
        return (
            "No part was drawn as a control yet: the setting `control` of a box says how many are."
        )
    return f"Control parts drawn: {tally.drawn}, labelled: {tally.labelled}."
