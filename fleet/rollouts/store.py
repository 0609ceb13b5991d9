"""Shadows and rollouts ↔ tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from fleet.rollouts.plan import RolloutPlan
from fleet.rollouts.rollout import ACTIVE, Approval, Member, Rollout
from fleet.rollouts.shadow import DeviceShadow
from fleet.rollouts.tables import MemberRecord, RolloutRecord, ShadowChange, ShadowRecord
from shared.releases import ReleaseFacts
from shared.topics import Address
from shared.wire import Desired, Reported, StateMessage

KEPT_CHANGES = 200


class StoredRollout(NamedTuple):
    """A rollout as it is stored, with what does not change.

    facts   of its target, as they were at the start
    """

    rollout: Rollout
    facts: ReleaseFacts
    started_by: str
    started_at: float
    ended_at: float | None = None


class Told(NamedTuple):
    """One change of a shadow document, for its history."""

    address: Address
    at: float
    side: str
    serial: int
    what: str
    by: str = ""


# ---- shadows


def read_shadows(connection: Connection) -> dict[Address, DeviceShadow]:
    """Every device's."""
    rows = connection.execute(select(ShadowRecord)).mappings()
    return {shadow.address: shadow for shadow in map(_shadow, rows)}


def write_shadows(connection: Connection, shadows: Iterable[DeviceShadow]) -> None:
    rows = [_shadow_row(shadow) for shadow in shadows]
    for row in rows:
        connection.execute(
            _insert_into(connection)(ShadowRecord)
            .values(row)
            .on_conflict_do_update(index_elements=["site", "line", "device"], set_=row)
        )


def add_changes(connection: Connection, changes: Sequence[Told]) -> None:
    """Add to devices' histories, each of which keeps its newest KEPT_CHANGES."""
    if not changes:
        return
    rows = [{**_place(told.address), **told._asdict()} for told in changes]
    for row in rows:
        del row["address"]
    connection.execute(insert(ShadowChange), rows)
    for address in {told.address for told in changes}:
        newest = (
            select(col(ShadowChange.id))
            .where(*_is(ShadowChange, address))
            .order_by(col(ShadowChange.id).desc())
            .offset(KEPT_CHANGES)
            .limit(1)
            .scalar_subquery()
        )
        table = ShadowChange.__table__  # type: ignore[attr-defined]
        connection.execute(
            table.delete().where(*_is(ShadowChange, address), col(ShadowChange.id) <= newest)
        )


def read_changes(connection: Connection, address: Address) -> list[Told]:
    """A device's history, newest first."""
    rows = connection.execute(
        select(ShadowChange)
        .where(*_is(ShadowChange, address))
        .order_by(col(ShadowChange.id).desc())
    ).mappings()
    return [
        Told(address, row["at"], row["side"], row["serial"], row["what"], row["by"]) for row in rows
    ]


# ---- rollouts


def add_rollout(connection: Connection, kept: StoredRollout) -> StoredRollout:
    """Store a new rollout; with the id that it got."""
    found = connection.execute(
        insert(RolloutRecord).values(_rollout_row(kept)).returning(col(RolloutRecord.id))
    ).scalar_one()
    stored = kept._replace(rollout=replace(kept.rollout, id=int(str(found))))
    members = list(stored.rollout.members.values())
    if members:
        rows = [_member_row(stored.rollout.id, n, m) for n, m in enumerate(members)]
        connection.execute(insert(MemberRecord), rows)
    return stored


def update_rollout(connection: Connection, before: Rollout, kept: StoredRollout) -> None:
    """Store what has changed since `before`."""
    after = kept.rollout
    connection.execute(
        update(RolloutRecord).where(col(RolloutRecord.id) == after.id).values(_rollout_row(kept))
    )
    for place, (address, member) in enumerate(after.members.items()):
        if before.members.get(address) is member:
            continue
        row = _member_row(after.id, place, member)
        connection.execute(
            _insert_into(connection)(MemberRecord)
            .values(row)
            .on_conflict_do_update(
                index_elements=["rollout", "site", "line", "device"],
                set_={k: v for k, v in row.items() if k != "place"},
            )
        )


def read_rollouts(
    connection: Connection, *, newest: int = 50, id_: int | None = None
) -> list[StoredRollout]:
    """Those under way and the newest others, or the one that is asked for; newest first."""
    statement = select(RolloutRecord).order_by(col(RolloutRecord.id).desc())
    if id_ is not None:
        statement = statement.where(col(RolloutRecord.id) == id_)
    rows = connection.execute(statement).mappings().all()
    chosen = [row for n, row in enumerate(rows) if n < newest or row["state"] in ACTIVE]
    return [_kept(row, _members(connection, row["id"])) for row in chosen]


def _members(connection: Connection, rollout: int) -> dict[Address, Member]:
    rows = connection.execute(
        select(MemberRecord)
        .where(col(MemberRecord.rollout) == rollout)
        .order_by(col(MemberRecord.place))
    ).mappings()
    members = (
        Member(
            Address(row["site"], row["line"], row["device"]),
            row["ring"],
            row["phase"],
            row["reason"],
            row["previous"],
            row["since"],
            row["seen_phase"],
            row["asked"],
        )
        for row in rows
    )
    return {member.address: member for member in members}


def _kept(row: Any, members: dict[Address, Member]) -> StoredRollout:
    rollout = Rollout(
        id=row["id"],
        kind=row["kind"],
        target=row["target"],
        plan=RolloutPlan.model_validate_json(row["plan"]),
        state=row["state"],
        ring=row["ring"],
        opened_at=row["opened_at"],
        passed_at=row["passed_at"],
        reason=row["reason"],
        waived=bool(row["waived"]),
        approvals=tuple(msgspec.json.decode(row["approvals"], type=list[Approval])),
        members=members,
    )
    facts = ReleaseFacts.model_validate_json(row["facts"])
    return StoredRollout(rollout, facts, row["started_by"], row["started_at"], row["ended_at"])


def _rollout_row(kept: StoredRollout) -> dict[str, Any]:
    rollout = kept.rollout
    return {
        "kind": rollout.kind,
        "target": rollout.target,
        "facts": kept.facts.model_dump_json(),
        "plan": rollout.plan.model_dump_json(),
        "state": rollout.state,
        "ring": rollout.ring,
        "opened_at": rollout.opened_at,
        "passed_at": rollout.passed_at,
        "reason": rollout.reason,
        "waived": rollout.waived,
        "approvals": msgspec.json.encode(rollout.approvals).decode(),
        "started_by": kept.started_by,
        "started_at": kept.started_at,
        "ended_at": kept.ended_at,
    }


def _member_row(rollout: int, place: int, member: Member) -> dict[str, Any]:
    return {
        "rollout": rollout,
        **_place(member.address),
        "place": place,
        "ring": member.ring,
        "phase": member.phase,
        "reason": member.reason,
        "previous": member.previous,
        "since": member.since,
        "seen_phase": member.seen_phase,
        "asked": member.asked,
    }


def _shadow(row: Any) -> DeviceShadow:
    def read(name: str, kind: Any) -> Any:
        return msgspec.json.decode(row[name], type=kind) if row[name] else None

    return DeviceShadow(
        Address(row["site"], row["line"], row["device"]),
        desired=read("desired", Desired),
        reported=read("reported", Reported),
        state=read("state", StateMessage),
        seen_at=row["seen_at"],
        why_offline=row["why_offline"],
        skew_s=row["skew_s"],
    )


def _shadow_row(shadow: DeviceShadow) -> dict[str, Any]:
    def written(message: msgspec.Struct | None) -> str:
        return msgspec.json.encode(message).decode() if message else ""

    return {
        **_place(shadow.address),
        "serial": shadow.serial,
        "desired": written(shadow.desired),
        "reported": written(shadow.reported),
        "state": written(shadow.state),
        "seen_at": shadow.seen_at,
        "why_offline": shadow.why_offline,
        "skew_s": shadow.skew_s,
    }


def _place(address: Address) -> dict[str, str]:
    return {"site": address.site, "line": address.line, "device": address.device}


def _is(table: Any, address: Address) -> list[Any]:
    return [col(getattr(table, name)) == value for name, value in _place(address).items()]


def _insert_into(connection: Connection) -> Any:
    """The dialect's own insert, which can say what happens to rows that are there."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
