"""Labels that a data set's scores dispute, given to another inspector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import Connection, delete, insert, select
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.labels.history import opinions_said
from cloud.labels.opinions import is_split, voices
from cloud.labels.tables import LabelEntry, SecondLook
from cloud.records.database import Database
from cloud.records.keys import has_key
from shared.contracts import InspectionKey
from shared.web.access import Caller

DisputeState = Literal["asked", "waiting", "settled", "unlabelled"]
"""`asked` for another inspector now; `waiting` for one already; `settled`: two or more agree on it;
`unlabelled`: nobody has said anything of it here."""


class DisputeDesk:
    """Safe to share between threads, and between the cloud's processes."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    def ask(
        self, worth: Mapping[InspectionKey, float], caller: Caller
    ) -> dict[InspectionKey, DisputeState]:
        """Have another inspector look at these parts: all of them, or none.

        worth   how sure it is that the label is wrong, 0–1, by part
        Raises RecordsError.
        """
        with self._database.begin() as connection:
            self._audit.hold(connection)
            return {key: self._asked(connection, key, worth[key], caller) for key in sorted(worth)}

    def _asked(
        self, connection: Connection, key: InspectionKey, worth: float, caller: Caller
    ) -> DisputeState:
        said = opinions_said(connection, key)
        if not said:
            return "unlabelled"
        look = SecondLook
        known = select(col(look.reason)).where(*has_key(look, key))
        if (reason := connection.execute(known).scalar_one_or_none()) in {"split", "disputed"}:
            return "waiting"
        if len(voices(said)) > 1 and not is_split(said):
            return "settled"
        entry = LabelEntry
        place = select(col(entry.site), col(entry.line)).where(
            *has_key(entry, key), col(entry.number) == said[-1].number
        )
        site, line = connection.execute(place).one()
        if reason is not None:
            # It was drawn for a second look anyway: now there is a reason.
            connection.execute(delete(look).where(*has_key(look, key)))
        row = {**key._asdict(), "site": site, "line": line, "reason": "disputed", "worth": worth}
        connection.execute(insert(look).values(row))
        facts = {"label": voices(said)[-1].verdict, "worth": round(worth, 3)}
        self._audit.append(connection, caller.did("dispute", "/".join(map(str, key)), None, facts))
        return "asked"
