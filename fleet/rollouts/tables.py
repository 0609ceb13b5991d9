"""What is wanted of each device, what it says, and how rollouts stand. Times are UTC seconds."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field

from fleet.storage.tables import FleetTable


class ShadowRecord(FleetTable, table=True):
    """A device's shadow document: the newest that is wanted of it, and the last it has said.

    serial       of the desired; 0: nothing was ever wanted
    desired, reported, state   JSON of `wire.Desired`, `wire.Reported` and `wire.State`; empty: none
    seen_at      when it was last heard
    why_offline  empty while it is there
    skew_s       seconds by which its clock is behind ours; None: not known
    """

    __tablename__ = "shadows"

    site: str = Field(primary_key=True, max_length=63)
    line: str = Field(primary_key=True, max_length=63)
    device: str = Field(primary_key=True, max_length=63)
    serial: int = Field(sa_type=BigInteger)
    desired: str = Field(sa_type=Text)
    reported: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    seen_at: float
    why_offline: str = Field(max_length=200)
    skew_s: float | None


class ShadowChange(FleetTable, table=True):
    """One change of a shadow document.

    side   desired or reported
    by     who wanted it: a rollout, a person; empty where the device said so
    """

    __tablename__ = "shadow_changes"
    __table_args__ = (Index("ix_shadow_changes_device", "site", "line", "device", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    device: str = Field(max_length=63)
    at: float
    side: str = Field(max_length=16)
    serial: int = Field(sa_type=BigInteger)
    what: str = Field(sa_type=Text)
    by: str = Field(max_length=100)


class RolloutRecord(FleetTable, table=True):
    """A rollout; see `fleet.rollouts.rollout.Rollout`.

    plan, approvals   JSON
    facts             JSON of the target's `shared.releases.ReleaseFacts`, as they were at the start
    """

    __tablename__ = "rollouts"
    __table_args__ = (Index("ix_rollouts_state", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=16)
    target: str = Field(max_length=255)
    facts: str = Field(sa_type=Text)
    plan: str = Field(sa_type=Text)
    state: str = Field(max_length=16)
    ring: int
    opened_at: float
    passed_at: float | None
    reason: str = Field(sa_type=Text)
    waived: bool
    approvals: str = Field(sa_type=Text)
    started_by: str = Field(max_length=100)
    started_at: float
    ended_at: float | None


class MemberRecord(FleetTable, table=True):
    """A device of a rollout; see `fleet.rollouts.rollout.Member`."""

    __tablename__ = "rollout_members"

    rollout: int = Field(primary_key=True, foreign_key="rollouts.id")
    site: str = Field(primary_key=True, max_length=63)
    line: str = Field(primary_key=True, max_length=63)
    device: str = Field(primary_key=True, max_length=63)
    place: int
    ring: int
    phase: str = Field(max_length=16)
    reason: str = Field(sa_type=Text)
    previous: str = Field(max_length=255)
    since: float
    seen_phase: str = Field(max_length=32)
    asked: bool
