"""What the records answer with; see `cloud.records.tables` for units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from shared.contracts import (
    Control,
    Decider,
    Decision,
    DeviceState,
    InspectionKey,
    PlainVerdict,
    Verdict,
)
from shared.inspection import COLUMNS, InspectionColumn

M = TypeVar("M", bound=BaseModel)


class RecordView(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class TailView(RecordView):
    """What the tail made of the inspection's features."""

    score: float | None = Field(description="0–1; null: not a number, which never passes")
    verdict: Verdict
    cloud_ms: float = Field(description="arrival to answer, milliseconds")
    batch: int = Field(description="parts that ran together")
    has_map: bool = Field(description="whether map.png is still kept")
    kind: str | None = Field(
        description="the likeliest kind of defect of a rejected part; null where none is known"
    )
    kind_probability: float | None = Field(
        description="that it is of this kind, given that it is defective, 0–1"
    )
    coarseness: int = Field(
        description="1: the features came as finely as can be; k: as multiples of k, to fit the cap"
    )
    queue_ms: float | None = Field(
        description="arrival until its batch began, milliseconds; null: not recorded"
    )
    tail_ms: float | None = Field(
        description="that its batch took in the tail, milliseconds; null: not recorded"
    )
    received_at: float = Field(description="UTC seconds")


class LabelView(RecordView):
    """An inspector's label of the part."""

    verdict: PlainVerdict
    kind: str | None = Field(description="of defect; null where it is good or not known")
    inspector: str
    reviewed_at: float = Field(description="UTC seconds")
    delivered_at: float | None = Field(
        description="when the device had it on its disk, UTC seconds; null: not yet"
    )
    settles: bool | None = Field(
        description="true: the part waited for it, and its verdict is this label's; false: the "
        "part had already gone as its verdict says; null: the device has not reported it yet"
    )
    has_picture: bool | None = Field(
        description="false: the device has no picture any more, so it can't learn from this part; "
        "null: not delivered yet"
    )


def with_columns(columns: Iterable[InspectionColumn], **more: Any) -> Callable[[type[M]], type[M]]:
    """A model with these fields of an inspection too, all of which may be null.

    more    of each field, as for pydantic's `Field`
    """

    def extended(model: type[M]) -> type[M]:
        others: dict[str, Any] = {
            column.name: (column.meaning | None, Field(description=column.stored.about, **more))
            for column in columns
            if column.name not in model.model_fields
        }
        return create_model(
            model.__name__,
            __base__=model,
            __doc__=model.__doc__,
            __module__=model.__module__,
            **others,
        )

    return extended


@with_columns(column for column in COLUMNS if column.name != "inspected_at")
class InspectionView(RecordView):
    """One part through the system.

    An escalation may be here before its device has reported the inspection: then the fields
    that only the device knows are null. An inspector's label settles a part that was given to
    review or that the deadline diverted: then `verdict` is the label's, decided by `inspector`.
    """

    device: str
    boot: str
    sequence: int
    site: str
    line: str
    part: int
    decision: Decision
    verdict: Verdict | None
    decided_by: Decider | None
    line_verdict: Verdict | None = Field(
        description="what the line did with a part that an inspector has settled since; else null"
    )
    line_decided_by: Decider | None = Field(description="who decided that; else null")
    control: Control | None = Field(
        description="what the system would have done with a part that was drawn at random for a "
        "person to look at; empty: it was not drawn"
    )
    score: float | None = Field(description="the head's, 0–1; null: not known")
    at: float = Field(description="when it was inspected, by the device's clock, UTC seconds")
    received_at: float = Field(description="when it came here, UTC seconds; lists go by it")
    escalated_bytes: int | None
    tail: TailView | None
    contradicted: bool = Field(
        description="the tail's verdict would have done otherwise to the part: it came late"
    )
    label: LabelView | None = Field(
        alias="review", description="null: no inspector has labelled it yet"
    )

    @property
    def key(self) -> InspectionKey:
        """Under which it is found."""
        return InspectionKey(self.device, self.boot, self.sequence)


class InspectionPage(RecordView):
    """Some inspections, the last that came first; pass `next` as `cursor` for those that follow."""

    inspections: list[InspectionView]
    next: str | None


class DeviceView(RecordView):
    """A device's last state."""

    site: str
    line: str
    device: str
    state: DeviceState
    boot: str
    at: float = Field(description="when the device said so, by its own clock, UTC seconds")
    seen_at: float = Field(description="when the cloud heard it last, UTC seconds")
    bundle: str
    runtime: str
    camera: str
    inspected: int
    waiting: int
    problems: list[str]
    clock_off_s: float | None = Field(
        description="seconds by which its clock is ahead of the cloud's; null: not known yet"
    )
    beat_s: float = Field(
        default=0.0,
        description="it speaks that often even when nothing changes, seconds; 0: its agent is "
        "older than that",
    )


class Minute(RecordView):
    """Inspections that came in one minute, by who decided what the line did."""

    at: int = Field(description="the minute's start, UTC seconds")
    edge: int = 0
    cloud: int = 0
    deadline: int = 0
    inspector: int = 0

    @property
    def total(self) -> int:
        return self.edge + self.cloud + self.deadline + self.inspector


class Count(RecordView):
    """How many inspections ended so."""

    decided_by: Decider
    verdict: Verdict
    count: int


class InspectionCounts(RecordView):
    """Inspections by who decided and how, as it is now; and per minute, as the line did."""

    totals: list[Count]
    minutes: list[Minute]


class Summary(RecordView):
    """The plant in a few numbers; passed, rejected and in_review are all that was inspected."""

    inspected: int
    passed: int
    rejected: int
    in_review: int = Field(description="parts whose verdict is `review`: no inspector spoke yet")
    to_review: int = Field(
        description="parts that wait for an inspector: those in review, and those that the "
        "deadline diverted"
    )
    settled: int = Field(description="parts whose verdict is an inspector's")
    escalated: int
    by_decider: dict[Decider, int] = Field(
        description="who decided what the line did, whatever an inspector said since"
    )
    escalated_bytes: int = Field(description="features sent, in all")
    frame_bytes: int = Field(description="the pictures they were made from, all inspections")
    escalated_frame_bytes: int = Field(description="the pictures of the escalated ones")
    tail_results: int
    contradicted: int = Field(description="late answers that differ from what was actuated")
    first_at: float | None
    last_at: float | None
    edge_ms_median: float | None = Field(description="of the last 1,000 inspections")
    total_ms_median: float | None
    total_ms_p99: float | None
    cloud_ms_median: float | None
