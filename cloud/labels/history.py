"""Everything that inspectors said of parts, and the one label of each that stands.

A label never replaces another one here: what stands is decided anew from all that was said and not
taken back (`cloud.labels.opinions`), and kept in `reviews` for everything else to read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.labels.opinions import LabelOpinion, Outcome, is_split, standing
from cloud.labels.second_looks import Judgement, looks_needed
from cloud.labels.tables import LabelEntry, ReviewLease, SecondLook, WithdrawnLabel
from cloud.labels.views import EntryView
from cloud.records.database import Database
from cloud.records.keys import among, has_key
from cloud.records.store import LATER_S, RecordStore, insert_into
from cloud.records.tables import LabelRecord
from shared.clock import Clock
from shared.contracts import InspectionKey, PlainVerdict
from shared.errors import AccessRefused, SettingsError
from shared.web.access import Caller

UNDO = "label undo"
Standing = dict[InspectionKey, LabelRecord | None]
Part = Mapping[str, Any] | RowMapping


@dataclass(frozen=True, slots=True)
class Said:
    """What an inspector says of a part, before it is written down.

    seen       the number of the last label that they were shown, 0: none; None: all there were
    judgement  what the system made of the part
    """

    key: InspectionKey
    site: str
    line: str
    verdict: PlainVerdict
    kind: str | None
    inspector: str
    why: str = ""
    drawing: bytes | None = None
    seen: int | None = None
    judgement: Judgement = field(default_factory=Judgement)


class LabelHistory:
    """Safe to share between threads, and between the cloud's processes."""

    def __init__(self, database: Database, clock: Clock, audit: AuditLog) -> None:
        self._database = database
        self._store = RecordStore(database)
        self._clock = clock
        self._audit = audit

    def of(self, key: InspectionKey) -> list[EntryView]:
        """Every entry of a part, with those taken back, newest first. Raises RecordsError."""
        return self.of_several([key]).get(key, [])

    def of_several(self, keys: Collection[InspectionKey]) -> dict[InspectionKey, list[EntryView]]:
        """The same of each of these parts of which anything was said."""
        query = (
            select(LabelEntry)
            .where(among(LabelEntry, keys))
            .order_by(col(LabelEntry.number).desc())
        )
        found: dict[InspectionKey, list[RowMapping]] = defaultdict(list)
        with self._database.begin() as connection:
            for row in connection.execute(query).mappings():
                found[_key_of(row)].append(row)
        return {key: _entries_of(rows) for key, rows in found.items()}

    def drawing(self, key: InspectionKey, number: int) -> bytes | None:
        """What was drawn with one label of a part. Raises RecordsError."""
        query = select(col(LabelEntry.drawing)).where(
            *has_key(LabelEntry, key), col(LabelEntry.number) == number
        )
        with self._database.begin() as connection:
            found: bytes | None = connection.execute(query).scalar_one_or_none()
        return found

    def say(self, labels: Sequence[Said], caller: Caller) -> list[Outcome]:
        """Write down what an inspector says of some parts: all of it, or nothing.

        Raises RecordsError.
        """
        outcomes: list[Outcome] = []

        def decided(connection: Connection) -> Standing:
            self._audit.hold(connection)
            outcomes.clear()
            stand: Standing = {}
            outcomes.extend(self._said(connection, said, caller, stand) for said in labels)
            return stand

        self._store.stand([said.key for said in labels], decided)
        return outcomes

    def take_back(
        self, numbers: Sequence[int], caller: Caller, by: str, *, anybodys: bool
    ) -> list[Outcome]:
        """Labels that were said by mistake: what was said before stands again. All, or none.

        by        who takes them back
        anybodys  whether it may be another one's label
        Raises SettingsError for one that there is not, AccessRefused for another one's,
        RecordsError.
        """
        outcomes: list[Outcome] = []
        found = self._entries(numbers)
        for entry in found:
            if entry["inspector"] != by and not anybodys:
                raise AccessRefused(
                    f"label {entry['number']} is {entry['inspector']}'s, and {by} asks",
                    fix="take back your own; an engineer may take back others'",
                )

        def decided(connection: Connection) -> Standing:
            self._audit.hold(connection)
            outcomes.clear()
            stand: Standing = {}
            outcomes.extend(
                self._taken_back(connection, entry, caller, by, stand) for entry in found
            )
            return stand

        self._store.stand([_key_of(entry) for entry in found], decided)
        return outcomes

    def _entries(self, numbers: Sequence[int]) -> list[RowMapping]:
        wanted = list(dict.fromkeys(numbers))
        with self._database.begin() as connection:
            query = select(LabelEntry).where(col(LabelEntry.number).in_(wanted))
            known = {row["number"]: row for row in connection.execute(query).mappings()}
        missing = [number for number in wanted if number not in known]
        if missing:
            raise SettingsError(
                f"there is no label {missing[0]}",
                fix="take the `number` that a label came with",
                missing=True,
            )
        # The newest first: of two of one part, the first one's state is what is left.
        return [known[number] for number in sorted(wanted, reverse=True)]

    def _said(self, connection: Connection, said: Said, caller: Caller, stand: Standing) -> Outcome:
        before = opinions_said(connection, said.key)
        unseen = tuple(
            one
            for one in before
            if said.seen is not None and one.number > said.seen and one.inspector != said.inspector
        )
        now = self._clock.utc()
        row = {
            **said.key._asdict(),
            **{name: getattr(said, name) for name in _SAID},
            "said_at": now,
            "blind": bool(unseen),
        }
        inserted = connection.execute(insert(LabelEntry).values(row)).inserted_primary_key
        number = int(inserted[0]) if inserted else 0
        own = LabelOpinion(number, said.inspector, said.verdict, said.kind, bool(unseen))
        _release(connection, said.key, said.inspector)
        outcome = Outcome(
            said.key, number, standing([*before, own]), unseen, is_split([*before, own])
        )
        told = {"verdict": said.verdict, "kind": said.kind, "inspector": said.inspector}
        more = {"why": said.why, "drawn": said.drawing is not None, "stands": outcome.stands == own}
        self._audit.append(
            connection,
            caller.did(
                "label",
                "/".join(map(str, said.key)),
                _facts(standing(before)),
                {
                    **told,
                    **{name: value for name, value in more.items() if value not in ("", False)},
                },
                said.inspector,
            ),
        )
        _place(connection, row, [*before, own], now, stand)
        _plan(connection, row, [*before, own], said.judgement)
        return outcome

    def _taken_back(
        self, connection: Connection, entry: RowMapping, caller: Caller, by: str, stand: Standing
    ) -> Outcome:
        key, now = _key_of(entry), self._clock.utc()
        before = opinions_said(connection, key)
        connection.execute(
            update(LabelEntry)
            .where(col(LabelEntry.number) == entry["number"], col(LabelEntry.undone_at).is_(None))
            .values(undone_at=now, undone_by=by)
        )
        after = [one for one in before if one.number != entry["number"]]
        outcome = Outcome(key, entry["number"], standing(after), split=is_split(after))
        if after != before:
            subject = "/".join(map(str, key))
            facts = _facts(standing(before)), _facts(standing(after))
            self._audit.append(connection, caller.did(UNDO, subject, *facts, by))
        _place(connection, entry, after, now, stand)
        _plan(connection, entry, after, Judgement())
        return outcome


_SHOWN = [name for name in EntryView.model_fields if name in LabelEntry.model_fields]
_OPINION = ("number", "inspector", "verdict", "kind", "blind")
_SAID = ("site", "line", "verdict", "kind", "inspector", "why", "drawing")


def _entries_of(rows: Sequence[RowMapping]) -> list[EntryView]:
    """rows: all of one part, newest first"""
    told = [row for row in reversed(rows) if row["undone_at"] is None]
    stands = standing(_opinions_of(told))
    return [
        EntryView(
            **{name: row[name] for name in _SHOWN},
            drawn=row["drawing"] is not None,
            stands=stands is not None and stands.number == row["number"],
        )
        for row in rows
    ]


def opinions_said(connection: Connection, key: InspectionKey) -> list[LabelOpinion]:
    """What was said of a part and not taken back, oldest first."""
    entry = LabelEntry
    query = (
        select(entry)
        .where(*has_key(entry, key), col(entry.undone_at).is_(None))
        .order_by(col(entry.number))
    )
    return _opinions_of(connection.execute(query).mappings())


def _opinions_of(rows: Iterable[RowMapping]) -> list[LabelOpinion]:
    """rows: of one part, oldest first, none of them taken back"""
    return [LabelOpinion(**{name: row[name] for name in _OPINION}) for row in rows]


def _place(
    connection: Connection,
    part: Part,
    opinions: Sequence[LabelOpinion],
    now: float,
    stand: Standing,
) -> None:
    """Into `stand` goes the label of a part where it is another one than before."""
    key, label = _key_of(part), standing(opinions)
    query = select(LabelRecord).where(*has_key(LabelRecord, key))
    known = connection.execute(query).mappings().one_or_none()
    if label is None:
        if known is not None:
            _withdraw(connection, part, max(now, known["reviewed_at"] + LATER_S))
        stand[key] = None
        return
    entry = select(LabelEntry).where(col(LabelEntry.number) == label.number)
    found = connection.execute(entry).mappings().one()
    said = {name: found[name] for name in ("verdict", "kind", "inspector", "drawing")}
    if known is not None and all(known[name] == value for name, value in said.items()):
        stand.pop(key, None)
        return
    taken_back = connection.execute(
        delete(WithdrawnLabel)
        .where(*has_key(WithdrawnLabel, key))
        .returning(col(WithdrawnLabel.withdrawn_at))
    ).scalar_one_or_none()
    # A device takes the later of two words, and may hear of both.
    at = now if taken_back is None else max(now, taken_back + LATER_S)
    stand[key] = LabelRecord(**key._asdict(), **said, reviewed_at=at)


def _withdraw(connection: Connection, part: Part, at: float) -> None:
    """Its device is to forget the label that it was sent, or is about to be."""
    place = {"site": part["site"], "line": part["line"]}
    row = {**_key_of(part)._asdict(), **place, "withdrawn_at": at, "delivered_at": None}
    insertion = insert_into(connection)(WithdrawnLabel).values(row)
    connection.execute(
        insertion.on_conflict_do_update(index_elements=list(InspectionKey._fields), set_=row)
    )


def _plan(
    connection: Connection, part: Part, opinions: Sequence[LabelOpinion], judgement: Judgement
) -> None:
    """Whether another inspector should look at it too."""
    key, look = _key_of(part), SecondLook
    connection.execute(delete(look).where(*has_key(look, key)))
    needed = looks_needed(key, opinions, judgement)
    if needed is not None:
        reason, worth = needed
        place = {"site": part["site"], "line": part["line"]}
        row = {**key._asdict(), **place, "reason": reason, "worth": worth}
        connection.execute(insert(look).values(row))


def _release(connection: Connection, key: InspectionKey, holder: str) -> None:
    own = (*has_key(ReviewLease, key), col(ReviewLease.holder) == holder)
    connection.execute(delete(ReviewLease).where(*own))


def _key_of(row: Part) -> InspectionKey:
    return InspectionKey(*(row[name] for name in InspectionKey._fields))


def _facts(label: LabelOpinion | None) -> dict[str, Any] | None:
    if label is None:
        return None
    return {"verdict": label.verdict, "kind": label.kind, "inspector": label.inspector}
