"""An inspection: the one place that names its fields.

Journal, wire, records, API and the part's page take their columns from `Inspection`. A new field is
a line at its end, with a default, since a box of an earlier version leaves it out; and a migration
of the cloud's records. Journals add its column by themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from shared.contracts import Control, Decider, Decision, Verdict, plain_verdict

LARGEST_NUMBER = 2**63 - 1
LARGEST_SIZE = 2**31 - 1
MAX_FIELDS = 8
LONGEST_FIELD = 64
NO_PICTURE = "none"
NOVELTY_FIELD = "novelty"
"""Of a part that is novel: how many times as far from what was shown as is still known."""
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Stored:
    """How the cloud's records keep a field, and what the API says of it.

    title    of a text that the line says of a part: the settings have it under `product`, a camera
             may put it on a frame, the part's page shows it and the API can be asked for it
    longest  characters of a text; what is longer is cut
    largest  that a number may be; numbers are not negative
    unknown  whether a NaN may come, which is kept as NULL
    """

    about: str | None = None
    title: str = ""
    longest: int = 16
    largest: int = LARGEST_NUMBER
    unknown: bool = False


class Inspection(msgspec.Struct, frozen=True, array_like=True):
    """One part through the system. On the wire it is an array, so fields only ever follow.

    boot                 random for each start of the agent
    sequence             counts up from 1 within a boot
    verdict, decided_by  None while an escalation waits for the cloud, and never on the wire
    score                the head's, 0–1
    inspected_at         UTC seconds
    edge_ms              trigger to the gate's decision, milliseconds
    total_ms             trigger to the verdict, milliseconds; None while it waits
    escalated_bytes      size of the payload sent to the cloud, 0 if none was
    frame_bytes          size of the picture as JPEG or as its file, 0 if unknown
    """

    boot: Annotated[str, Stored(longest=64)]
    sequence: int
    part: int
    decision: Decision
    verdict: Verdict | None
    decided_by: Decider | None
    score: Annotated[float, Stored("the head's, 0–1", unknown=True)]
    inspected_at: float
    edge_ms: Annotated[float, Stored("trigger to the gate's decision, milliseconds")]
    total_ms: Annotated[float | None, Stored("trigger to the verdict, milliseconds")]
    escalated_bytes: Annotated[int, Stored(largest=LARGEST_SIZE)] = 0
    frame_bytes: Annotated[int, Stored(largest=LARGEST_SIZE)] = 0
    source: Annotated[str, Stored(longest=1024)] = ""
    bundle: Annotated[str, Stored(longest=128)] = ""
    lot: Annotated[str, Stored("the lot that the part belongs to", "Lot", longest=64)] = ""
    recipe: Annotated[str, Stored("which variant of it is made", "Recipe", longest=64)] = ""
    fields: Annotated[dict[str, Any], Stored("of plug-ins and cameras: texts and numbers")] = {}
    control: Annotated[
        Control,
        Stored(
            "what the system would have done with a part that was drawn at random for a person to "
            "look at; empty: it was not drawn"
        ),
    ] = ""
    digest: Annotated[
        str,
        Stored(
            "the first 16 digits of the sha256 of the picture that the box has kept; `none`: it "
            "has kept none; empty: it has not said"
        ),
    ] = ""
    head_ms: Annotated[float, Stored("that the head took, milliseconds; 0: not said")] = 0.0
    sent_ms: Annotated[
        float,
        Stored("trigger to the features' way to the cloud, milliseconds; 0: none, or not said"),
    ] = 0.0
    answered_ms: Annotated[
        float, Stored("trigger to the cloud's answer, milliseconds; 0: none in time, or not said")
    ] = 0.0


class WayTimes(NamedTuple):
    """When a part's features went to the cloud and its answer came, milliseconds after the trigger;
    0 where they did not."""

    sent_ms: float = 0.0
    answered_ms: float = 0.0


UNASKED = WayTimes()


class InspectionColumn(NamedTuple):
    """A field of an inspection, for what keeps or shows it.

    kind      str, int, float or dict: what its values are
    meaning   its annotation, without how it is stored
    optional  whether it may be None
    default   msgspec.NODEFAULT where every version has said it
    """

    name: str
    kind: type
    meaning: Any
    optional: bool
    default: Any
    stored: Stored


def _column(field: msgspec.structs.FieldInfo) -> InspectionColumn:
    meaning, stored = field.type, Stored()
    if get_origin(meaning) is Annotated:
        meaning, stored = get_args(meaning)
    options = [one for one in get_args(meaning) if one is not type(None)]
    optional = type(None) in get_args(meaning)
    plain = options[0] if optional else meaning
    if get_origin(plain) is Literal or (isinstance(plain, type) and issubclass(plain, Enum)):
        plain = str
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return InspectionColumn(
        field.name, get_origin(plain) or plain, meaning, optional, default, stored
    )


def without_review(one: Inspection) -> Inspection:
    """In words that versions without `review` read: a part to review is diverted, and what the
    edge gave to review it escalated. `with_review` is the way back; a mark has to say where."""
    if one.verdict != "review" and one.decision != Decision.REVIEW:
        return one
    return msgspec.structs.replace(
        one,
        decision=Decision.ESCALATE if one.decision == Decision.REVIEW else one.decision,
        verdict=one.verdict and plain_verdict(one.verdict),
    )


def with_review(one: Inspection) -> Inspection:
    """A part to review again, from what `without_review` made of it."""
    # The edge's own word on a part that was drawn as a control is none of review.
    undone = one.decided_by == "edge" and one.control in {"", "review"}
    decision = Decision.REVIEW if undone else one.decision
    return msgspec.structs.replace(one, decision=decision, verdict="review")


COLUMNS: tuple[InspectionColumn, ...] = tuple(map(_column, msgspec.structs.fields(Inspection)))
LINE_COLUMNS = tuple(column for column in COLUMNS if column.stored.title)


def with_novelty(one: Inspection, novelty: float) -> Inspection:
    """A part that is unlike anything that the network was shown says so among its `fields`, before
    whatever plug-ins say."""
    fields = {
        NOVELTY_FIELD: round(novelty, 2),
        **{k: v for k, v in one.fields.items() if k != NOVELTY_FIELD},
    }
    return msgspec.structs.replace(one, fields=storable_fields(fields))


def storable_fields(fields: Mapping[Any, Any]) -> dict[str, str | float]:
    """What can be kept of `Inspection.fields`: MAX_FIELDS of them, with a FIELD_NAME, that are a
    text of LONGEST_FIELD characters at most or a finite number. Another one costs itself alone."""
    kept: dict[str, str | float] = {}
    for name, value in fields.items():
        storable = _storable_value(value)
        named = isinstance(name, str) and FIELD_NAME.fullmatch(name)
        if named and storable is not None and len(kept) < MAX_FIELDS:
            kept[name] = storable
    return kept


def _storable_value(value: Any) -> str | float | None:
    if isinstance(value, str):
        return storable_text(value, LONGEST_FIELD) if len(value) <= LONGEST_FIELD else None
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def storable_text(text: str, longest: int) -> str:
    """Text that every database takes: no NUL, no lone surrogate, not too long."""
    return text.replace("\0", "").encode(errors="replace").decode()[:longest]
