"""A plant's past of 90 days, a million parts by default, written as fast as a database takes it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg.types.json
from sqlalchemy import Table, func, insert, inspect, select, text, update
from sqlmodel import SQLModel

from cloud.accounts.chain import ORIGIN, hash_of
from cloud.accounts.tables import AuditHeadRecord, AuditRecord
from cloud.alerts.tables import ALERT_EVENTS, ALERTS
from cloud.drift.store import DriftStore, ReceivedSketch
from cloud.drift.stream import ReferenceLimits
from cloud.inference.defect_maps import map_png, seen_png
from cloud.labels.drawing import encoded
from cloud.labels.tables import LabelEntry, SecondLook
from cloud.records.database import Database
from cloud.records.rollup_tally import FIRST
from cloud.records.rollups import rolled
from cloud.records.store import RecordStore
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.topics import Address
from shared.wire import Sketch
from tests.cloud.makers import NOON, device, inspection, tail

DAYS, LINES, BOXES = 90, 6, 2
# A tenth came in the last day, so that the live page has something to show.
LAST_DAY = 0.1
DAY_S = 86_400.0
PIECE = 20_000
LABEL_EVERY, CONTROL_EVERY = 200, 1_000
# Parts of which two inspectors spoke, of those with a label.
SECOND_EVERY = 10
ALERTS_KEPT, SKETCHES_EACH = 3_000, 70
# Maps lie beside the newest answers alone; see `keep_maps`.
KEPT_MAPS = 160_000
ANALYZE_S = 600.0
KINDS = ("crack", "stain", "scratch", "chip", "bubble")
DRAWN = 200


def key_of(number: int) -> tuple[str, str, int]:
    """Device, boot and sequence of the part of this number, from 1 on."""
    line, box = place_of(number)
    return f"box-{line}-{box}", "b1", number


def place_of(number: int) -> tuple[int, int]:
    """The number of its line and of its box there."""
    return number % LINES + 1, number // LINES % BOXES + 1


def came_at(number: int, parts: int) -> float:
    """When it came, UTC seconds: the last at NOON."""
    recent = int(parts * LAST_DAY)
    left = parts - number
    if left < recent:
        return NOON - left * DAY_S / recent
    return NOON - DAY_S - (left - recent) * (DAYS - 1) * DAY_S / (parts - recent)


def fill(database: Database, parts: int, bundle: str) -> None:
    """Tables, and parts until NOON with answers of the tail, labels, alerts, sketches, audit log.

    bundle   by name and version, that the newer half of the parts was inspected with
    """
    database.migrate()
    states = [
        device(
            line=f"line-{line}",
            device=f"box-{line}-{box}",
            seen_at=NOON,
            at=NOON,
            bundle=bundle,
        )
        for line in range(1, LINES + 1)
        for box in range(1, BOXES + 1)
    ]
    RecordStore(database).save(devices=states)
    drawn = random.Random(15)  # noqa: S311 - no secret
    for first in range(1, parts + 1, PIECE):
        numbers = range(first, min(first + PIECE, parts + 1))
        made = [part_row(number, parts, bundle, drawn) for number in numbers]
        write(database, INSPECTIONS, made)
        tails = [escalation_row(one, parts, drawn) for one in made if one["decision"] == "escalate"]
        write(database, _table(TailRecord), tails)
        told = [one for one in made if one["sequence"] % LABEL_EVERY == 0]
        write(database, _table(LabelRecord), [_label(one, drawn) for one in told])
        write(database, _table(LabelEntry), [said for one in told for said in _said(one, drawn)])
    write(database, _table(SecondLook), list(_second_looks(parts)))
    _fill_audit(database, parts // LABEL_EVERY * 2)
    write(database, ALERTS, [_alert(number) for number in range(ALERTS_KEPT)])
    write(database, ALERT_EVENTS, [_event(number) for number in range(ALERTS_KEPT)])
    DriftStore(database, ReferenceLimits()).take(list(_sketches(bundle)))
    with database.begin(within_s=ANALYZE_S) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL statement_timeout = '{ANALYZE_S:.0f}s'"))
        connection.execute(text("ANALYZE"))


def write(database: Database, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """All of them, which have the same columns."""
    if not rows:
        return
    if database.engine.dialect.name != "postgresql":
        with database.begin() as connection:
            connection.execute(insert(table), list(rows))
        return
    names = list(rows[0])
    with database.begin() as connection:
        raw: Any = connection.connection.dbapi_connection
        columns = ", ".join(f'"{name}"' for name in names)
        with (
            raw.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row([_plain(row[name]) for name in names])


def size_of(database: Database) -> int:
    """How many parts it holds; 0 where they are not all there and rolled up."""
    if not inspect(database.engine).has_table(INSPECTIONS.name):
        return 0
    with database.engine.connect() as connection:
        known = rolled(connection)
        whole = known is not None and known.since <= FIRST
        count = select(func.count()).select_from(INSPECTIONS)
        return int(connection.execute(count).scalar_one()) if whole else 0


def _plain(value: Any) -> Any:
    return psycopg.types.json.Json(value) if isinstance(value, dict) else value


def _table(model: type[SQLModel]) -> Table:
    found: Table = SQLModel.metadata.tables[str(model.__tablename__)]
    return found


def part_row(number: int, parts: int, bundle: str, drawn: random.Random) -> dict[str, Any]:
    """An inspection as it is stored, the one of this number of so many parts."""
    chance, (line, box) = drawn.random(), place_of(number)
    at = came_at(number, parts)
    ends: dict[str, Any] = {"score": 0.2 * drawn.random()}
    if chance > 0.97:
        ends = {"score": 0.9, "decision": "reject", "verdict": "reject"}
    elif chance > 0.85:
        verdict = "review" if chance > 0.96 else "reject" if chance > 0.93 else "pass"
        ends = {
            "score": 0.2 + 0.6 * drawn.random(),
            "decision": "escalate",
            "verdict": verdict,
            "decided_by": "cloud",
        }
        if chance > 0.968:
            ends |= {"verdict": "reject", "decided_by": "deadline"}
    return {
        **_LIKE_ALL,
        **ends,
        "device": f"box-{line}-{box}",
        "line": f"line-{line}",
        "sequence": number,
        "part": number,
        "lot": f"lot-{number // 20_000}",
        "recipe": f"recipe-{number // 100_000 % 3}",
        "bundle": bundle if number > parts // 2 else "tiny 1.0.0",
        "control": "pass" if number % CONTROL_EVERY == 0 else "",
        "inspected_at": at,
        "received_at": at,
        "edge_ms": 2.0 + 3 * chance,
        "total_ms": 3.0 + 300 * chance * chance,
        "escalated_bytes": 900 if ends.get("decision") == "escalate" else 0,
    }


def escalation_row(part: Mapping[str, Any], parts: int, drawn: random.Random) -> dict[str, Any]:
    """What the tail made of it."""
    rejected = part["verdict"] == "reject"
    kind = "rare" if drawn.random() < 1e-4 else drawn.choice(KINDS)
    return {
        **_TAIL,
        **{name: part[name] for name in ("device", "line", "sequence", "part", "received_at")},
        "verdict": part["verdict"],
        "score": drawn.random(),
        "kind": kind if rejected else None,
        "kind_probability": 0.9 if rejected else None,
        **({} if part["sequence"] > parts - KEPT_MAPS else {"map_png": None, "seen_png": None}),
    }


def _label(part: Mapping[str, Any], drawn: random.Random) -> dict[str, Any]:
    bad = drawn.random() < 0.6
    return {
        **{name: part[name] for name in ("device", "boot", "sequence")},
        "verdict": "reject" if bad else "pass",
        "kind": drawn.choice(KINDS) if bad else None,
        "inspector": drawn.choice(("ada", "grace")),
        "reviewed_at": part["received_at"] + 60,
        "delivered_at": part["received_at"] + 70,
        "has_picture": True,
        "drawing": None,
    }


def _said(part: Mapping[str, Any], drawn: random.Random) -> Iterator[dict[str, Any]]:
    """What inspectors said of it; of some a second one, who was told nothing."""
    second = part["sequence"] % (LABEL_EVERY * SECOND_EVERY) == 0
    for inspector in ("ada", "grace")[: 1 + second]:
        bad = drawn.random() < 0.6
        yield {
            **{name: part[name] for name in ("device", "boot", "sequence", "site", "line")},
            "verdict": "reject" if bad else "pass",
            "kind": drawn.choice(KINDS) if bad else None,
            "inspector": inspector,
            "said_at": part["received_at"] + 60,
            "why": "",
            "drawing": _MASK if part["sequence"] % (LABEL_EVERY * DRAWN) == 0 else None,
            "blind": inspector == "grace",
        }


def _second_looks(parts: int) -> Iterator[dict[str, Any]]:
    for place, number in enumerate(range(LABEL_EVERY, parts, LABEL_EVERY * SECOND_EVERY)):
        name, boot, sequence = key_of(number)
        yield {
            "device": name,
            "boot": boot,
            "sequence": sequence,
            "site": "plant",
            "line": f"line-{place_of(number)[0]}",
            "reason": ("split", "disputed", "second")[place % 3],
            "worth": place / parts,
        }


def _fill_audit(database: Database, entries: int) -> None:
    previous, rows = ORIGIN, list[dict[str, Any]]()
    for number in range(1, entries + 1):
        row: dict[str, Any] = {
            "number": number,
            "at": NOON - (entries - number) * DAYS * DAY_S / entries,
            "who": ("ada", "grace")[number % 2],
            "means": "session",
            "address": "10.0.0.7",
            "what": ("label", "picture")[number // 2 % 2],
            "subject": "/".join(map(str, key_of(number))),
            "before": "",
            "after": '{"verdict": "pass"}',
            "previous": previous,
        }
        previous = row["hash"] = hash_of(row)
        rows.append(row)
    write(database, _table(AuditRecord), rows)
    with database.begin() as connection:
        head: Any = _table(AuditHeadRecord)
        connection.execute(update(head).values(number=entries, hash=previous))


def _alert(number: int) -> dict[str, Any]:
    at = NOON - number * DAYS * DAY_S / ALERTS_KEPT
    is_open = number < 20
    line = number % LINES + 1
    return {
        "id": f"{number:032x}",
        "open_key": f"reject_rate plant line-{line} {number}" if is_open else None,
        "name": "reject_rate",
        "site": "plant",
        "line": f"line-{line}",
        "device": "",
        "about": str(number) if is_open else "",
        "state": "unacknowledged" if is_open else "normal",
        "says": "12.0% rejected (12 of 100 parts in 5 minutes)",
        "fix": "look at the last rejects",
        "began_at": at,
        "changed_at": at,
        "said_at": at,
        "raised_at": at,
        "quiet_since": None,
        "again_at": None,
        "ended_at": None if is_open else at + 600,
        "by": "",
        "reason": "",
        "until": None,
        "times": 1,
    }


def _event(number: int) -> dict[str, Any]:
    at = NOON - number * DAYS * DAY_S / ALERTS_KEPT
    return {"alert": f"{number:032x}", "at": at, "what": "raised", "who": "", "why": ""}


def _sketches(bundle: str) -> Iterator[ReceivedSketch]:
    drawn = random.Random(16)  # noqa: S311 - no secret
    for line in range(1, LINES + 1):
        for box in range(1, BOXES + 1):
            address = Address("plant", f"line-{line}", f"box-{line}-{box}")
            for number in range(1, SKETCHES_EACH + 1):
                at = NOON - (SKETCHES_EACH - number) * 60.0
                counts = {
                    name: dict.fromkeys((drawn.randrange(20, 60) for _ in range(10)), 1)
                    for name in ("score", "brightness", "sharpness", "noise")
                }
                sketch = Sketch(
                    boot="b1",
                    number=number,
                    bundle=bundle,
                    recipe="",
                    begun=at - 60,
                    ended=at,
                    parts=10,
                    counts=counts,
                )
                yield ReceivedSketch(address, sketch, at)


_LIKE_ALL = {**inspection(1), "line_verdict": None, "line_decided_by": None}
_TAIL = {
    **tail(1),
    "map_png": map_png(np.full((8, 8), 0.5, np.float32)),
    "seen_png": seen_png(np.ones((4, 8, 8), np.int8)),
}
_MASK = encoded(np.eye(32, dtype=np.bool_))
