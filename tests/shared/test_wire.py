"""Messages ↔ bytes."""

from __future__ import annotations

import math
import struct
import typing
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import wire
from shared.contracts import Decider, Decision
from shared.errors import WireError
from shared.inspection import LARGEST_NUMBER, Inspection
from shared.wire import (
    AnyMessage,
    CloudVerdict,
    Inspections,
    LabelReceipt,
    LabelReceipts,
    Labels,
    PartLabel,
    Receipt,
    StateMessage,
)

KINDS: tuple[type[AnyMessage], ...] = typing.get_args(AnyMessage)
RECEIPT = Receipt(batch=7, boot="b1")
PLAIN: dict[object, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=40),
    bool: st.booleans(),
    type(None): st.none(),
    Any: st.none() | st.floats(allow_nan=False) | st.lists(st.text(max_size=3), max_size=2),
}


def field_values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and not typing.get_args(kind):
        return plain_values(kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return bounded_values(inner[0], inner[1])
    if origin is typing.Literal:
        return st.sampled_from(inner)
    parts = [field_values(one) for one in inner if one is not ...]
    if origin is tuple and ... not in inner:
        return st.tuples(*parts)
    if origin in {list, tuple}:
        return st.lists(parts[0], max_size=4).map(origin)
    return st.dictionaries(*parts, max_size=3) if origin is dict else st.one_of(parts)


def bounded_values(kind: Any, bounds: Any) -> st.SearchStrategy[Any]:
    """What a sender that keeps to the bounds says."""
    if not isinstance(bounds, msgspec.Meta):
        return field_values(kind)
    if kind is int:
        return st.integers(0, LARGEST_NUMBER)
    if kind is float:
        return st.floats(bounds.ge, bounds.le, allow_nan=False)
    if typing.get_origin(kind) is tuple:
        return field_values(kind)
    if kind is bytes:
        return st.binary(max_size=40)
    return st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


def plain_values(kind: type[Any]) -> st.SearchStrategy[Any]:
    if issubclass(kind, msgspec.Struct):
        return structs(kind)
    return st.sampled_from(kind) if issubclass(kind, Enum) else PLAIN[kind]


def structs(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any struct of a kind, every field filled in."""
    fields = msgspec.structs.fields(kind)
    return st.fixed_dictionaries({f.name: field_values(f.type) for f in fields}).map(
        lambda values: kind(**values)
    )


def header(raw: bytes, *, magic: bytes = wire.MAGIC, version: int = wire.VERSION) -> bytes:
    return struct.pack(">3sBH", magic, version, len(raw)) + raw


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), body=st.binary(max_size=200))
def test_what_is_encoded_is_decoded(
    kind: type[AnyMessage], data: st.DataObject, body: bytes
) -> None:
    message = data.draw(structs(kind))
    assert wire.decode(wire.encode(message, body), kind) == (message, body)


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_any_bytes_are_a_message_or_a_wire_error(payload: bytes, kind: type[AnyMessage]) -> None:
    for candidate in (payload, header(payload)):
        try:
            message, _ = wire.decode(candidate, kind)
        except WireError:
            continue
        assert isinstance(message, kind)


@given(data=st.data())
def test_a_damaged_message_is_a_message_or_a_wire_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    payload = bytearray(wire.encode(data.draw(structs(kind)), b"body"))
    for place in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1, max_size=5)):
        payload[place] = data.draw(st.integers(0, 255))
    try:
        message, _ = wire.decode(bytes(payload), kind)
    except WireError:
        return
    assert isinstance(message, kind)


def test_a_header_nested_too_deep_is_a_wire_error() -> None:
    deep = b"\x82\xa4kind\xa7receipt\xa1x" + b"\x91" * 50_000 + b"\x01"
    with pytest.raises(WireError, match="header can't be read"):
        wire.decode(header(deep), Receipt)


GOOD = wire.encode(RECEIPT, b"body")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "0 B came"),
        (GOOD[:5], "5 B came"),
        (GOOD + bytes(wire.MAX_PAYLOAD), f"at most {wire.MAX_PAYLOAD} are read"),
        (b"PNG" + GOOD[3:], "begins with b'PNG'"),
        (header(GOOD[6:-4], version=9), "has version 9, this side reads 1"),
        (GOOD[:20], r"the header should be \d+ B, 14 came"),
        (struct.pack(">3sBH", b"SPL", 1, 65535) + bytes(65535), "the header should be 65535 B"),
        (header(b"") + bytes(wire.MAX_BODY + 1), f"the body is {wire.MAX_BODY + 1} B"),
        (header(b""), "the header can't be read"),
        (header(msgspec.msgpack.encode({"kind": "novel"})), "'novel'"),
        (header(msgspec.msgpack.encode({"kind": "receipt", "batch": "x"})), "batch"),
        (wire.encode(CloudVerdict("b", 1, 1, "pass", 0.1)), "a CloudVerdict came where a Receipt"),
    ],
)
def test_what_is_not_a_message_is_refused_with_what_came(payload: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        wire.decode(payload, Receipt)


@given(st.dictionaries(st.text(min_size=8, max_size=12), st.integers(0, 9), max_size=5))
def test_fields_of_a_newer_sender_are_ignored(unknown: dict[str, int]) -> None:
    raw = msgspec.msgpack.encode({"kind": "receipt", "batch": 7, "boot": "b1"} | unknown)
    assert wire.decode(header(raw), Receipt) == (RECEIPT, b"")


BEYOND = [2**63, 2**64 - 1, -1]


@pytest.mark.parametrize("number", BEYOND)
def test_a_number_that_no_database_holds_is_refused(number: int) -> None:
    label = PartLabel("b", number, "reject", "", 1.0)
    for message in (
        Receipt("b", number),
        CloudVerdict("b", number, 1, "reject", 0.5),
        CloudVerdict("b", 1, number, "reject", 0.5),
        Labels([label]),
        LabelReceipts([LabelReceipt("b", number, 1.0, kept=True)]),
        StateMessage("online", "b", 1.0, waiting=number),
    ):
        with pytest.raises(WireError, match="header can't be read"):
            wire.decode(wire.encode(message), type(message))


@pytest.mark.parametrize("moment", [math.nan, math.inf, -math.inf])
def test_a_label_of_no_time_is_refused(moment: float) -> None:
    for message in (
        Labels([PartLabel("b", 1, "reject", "", moment)]),
        LabelReceipts([LabelReceipt("b", 1, moment, kept=True)]),
    ):
        with pytest.raises(WireError, match="header can't be read"):
            wire.decode(wire.encode(message), type(message))


@pytest.mark.parametrize("text", ["a\0b", "x" * 65])
def test_a_label_with_a_text_that_no_database_holds_is_refused(text: str) -> None:
    for row in (PartLabel(text, 1, "reject", "", 1.0), PartLabel("b", 1, "reject", text, 1.0)):
        with pytest.raises(WireError, match="header can't be read"):
            wire.decode(wire.encode(Labels([row])), Labels)


def test_text_that_is_no_unicode_is_refused() -> None:
    lone = wire.encode(Receipt("zz", 1)).replace(b"\xa2zz", b"\xa3\xed\xa0\x80")
    with pytest.raises(WireError, match=r"header (can.t be read|should be)"):
        wire.decode(lone[:4] + (len(lone) - 6).to_bytes(2) + lone[6:], Receipt)


@pytest.mark.parametrize("verdict", ["maybe", "", "PASS"])
def test_a_verdict_outside_the_vocabulary_is_refused(verdict: str) -> None:
    fields = {"boot": "b", "sequence": 1, "part": 1, "verdict": verdict, "score": 0.5}
    with pytest.raises(WireError, match="verdict"):
        wire.decode(header(msgspec.msgpack.encode({"kind": "verdict"} | fields)), CloudVerdict)


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (RECEIPT, bytes(wire.MAX_BODY + 1)),
        (StateMessage("online", "b", 1.0, bundle="x" * 61_440), b""),
    ],
)
def test_a_message_beyond_the_limits_is_never_made(message: AnyMessage, body: bytes) -> None:
    with pytest.raises(WireError, match="can be sent"):
        wire.encode(message, body)


def test_a_full_batch_of_ordinary_inspections_fits() -> None:
    row = Inspection(
        boot="0123456789abcdef",
        sequence=2**31,
        part=2**31,
        decision=Decision.ESCALATE,
        verdict="reject",
        decided_by="deadline",
        score=0.123456,
        inspected_at=1.8e9,
        edge_ms=12.345,
        total_ms=234.567,
        escalated_bytes=65_536,
        frame_bytes=1_048_576,
        source="x" * 255,
        bundle="0123456789abcdef",
    )
    payload = wire.encode(Inspections(boot="b1", batch=1, rows=[row] * wire.MAX_BATCH))
    assert wire.decode(payload, Inspections)[0].rows == [row] * wire.MAX_BATCH


@given(structs(Inspection), st.sampled_from(Decision), st.sampled_from(["edge", "cloud"]))
def test_a_batch_says_the_verdicts_that_were_given_and_old_clouds_read_it(
    one: Inspection, decision: Decision, decided_by: Decider
) -> None:
    given = msgspec.structs.replace(one, decision=decision, decided_by=decided_by)
    # The edge gives to review what it would escalate, and the cloud what was escalated; or either
    # what was drawn as a control, whatever it had decided.
    review = Decision(one.control or "review") if decided_by == "edge" else Decision.ESCALATE
    reviewed = msgspec.structs.replace(given, decision=review, verdict="review")
    batch = Inspections.of("b1", 1, [given, reviewed])
    assert batch.inspections[1] == reviewed
    assert {row.verdict for row in batch.rows} <= {"pass", "reject", None}
    assert all(row.decision != "review" for row in batch.rows)


def test_a_mark_that_names_no_row_changes_nothing() -> None:
    batch = Inspections("b1", 1, [], reviews=(0, -1, 7))
    assert wire.decode(wire.encode(batch), Inspections)[0].inspections == []


@pytest.mark.parametrize(
    "tile", [(), (0.1,), (0.1, 0.2, 0.3), (0.5, 0.1, 0.5, 0.9), (0.1, 0.9, 0.9, 0.1)]
)
def test_numbers_that_are_no_tile_lay_a_map_over_the_whole_picture(tile: tuple[float, ...]) -> None:
    assert escalation_of(tile).place is None


def test_a_tile_is_where_the_box_says() -> None:
    assert escalation_of((0.25, 0.0, 0.5, 1.0)).place == (0.25, 0.0, 0.5, 1.0)


def escalation_of(tile: tuple[float, ...]) -> wire.Escalation:
    """Sent and read again."""
    sent = wire.Escalation("b", 1, 1, "p", (1, 1, 1), 0.5, 1.0, 0.5, tile=tile)
    return wire.decode(wire.encode(sent), wire.Escalation)[0]
