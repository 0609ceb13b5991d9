"""Rollouts and devices as programs and pages read them. Times are UTC seconds."""

from __future__ import annotations

from pydantic import BaseModel, Field

from fleet.rollouts.rollout import Member, Rollout
from fleet.rollouts.store import StoredRollout, Told


class RingView(BaseModel):
    """A ring. devices: without those that were set aside."""

    name: str
    open: bool
    devices: int
    waiting: int
    asked: int
    committed: int
    failed: int
    back: int = Field(description="devices that run what they ran before again")
    approved_by: str
    needs_approval: bool
    soak_until: float | None = Field(description="null: its devices are not there yet")


class MemberView(BaseModel):
    """A device of a rollout."""

    device: str
    site: str
    line: str
    ring: str
    phase: str
    reason: str
    previous: str
    doing: str = Field(description="the device's own word while it changes")
    since: float


class RolloutView(BaseModel):
    """A rollout in short."""

    id: int
    kind: str
    target: str
    state: str
    reason: str
    ring: str
    rings: list[RingView]
    devices: int
    aside: int
    committed: int
    touched: float = Field(description="share of the devices that were given the release, 0–1")
    started_by: str
    started_at: float
    ended_at: float | None


class RolloutDetail(RolloutView):
    """A rollout with every device of it."""

    members: list[MemberView]


class ChangeView(BaseModel):
    """One change of what is wanted of a device, or of what it says."""

    at: float
    side: str
    serial: int
    what: str
    by: str


def view_of(kept: StoredRollout) -> RolloutView:
    """The rollout in short."""
    rollout = kept.rollout
    aside = rollout.count("aside")
    return RolloutView(
        id=rollout.id,
        kind=rollout.kind,
        target=rollout.target,
        state=rollout.state,
        reason=rollout.reason,
        ring=rollout.open_ring.name,
        rings=[_ring(rollout, number) for number in range(len(rollout.plan.rings))],
        devices=len(rollout.members) - aside,
        aside=aside,
        committed=rollout.count("committed"),
        touched=round(rollout.share_touched, 4),
        started_by=kept.started_by,
        started_at=kept.started_at,
        ended_at=kept.ended_at,
    )


def detail_of(kept: StoredRollout) -> RolloutDetail:
    """The rollout with its devices: those that ask for attention first, then by ring and name."""
    rollout = kept.rollout
    members = sorted(rollout.members.values(), key=_attention)
    return RolloutDetail(
        **view_of(kept).model_dump(),
        members=[
            MemberView(
                device=member.address.device,
                site=member.address.site,
                line=member.address.line,
                ring=rollout.plan.rings[member.ring].name,
                phase=member.phase,
                reason=member.reason,
                previous=member.previous,
                doing=member.seen_phase if member.phase == "asked" else "",
                since=member.since,
            )
            for member in members
        ],
    )


def change_of(told: Told) -> ChangeView:
    return ChangeView(at=told.at, side=told.side, serial=told.serial, what=told.what, by=told.by)


_FIRST = ("failed", "returning", "asked", "returned", "committed", "waiting", "aside")


def _attention(member: Member) -> tuple[int, int, str]:
    return _FIRST.index(member.phase), member.ring, member.address.device


def _ring(rollout: Rollout, number: int) -> RingView:
    ring, members = rollout.plan.rings[number], rollout.of_ring(number)
    approvals = [approval.by for approval in rollout.approvals if approval.ring == number]

    def count(*phases: str) -> int:
        return sum(member.phase in phases for member in members)

    soaks = number == rollout.ring and rollout.passed_at is not None and rollout.state == "running"
    return RingView(
        name=ring.name,
        open=number <= rollout.ring,
        devices=len(members),
        waiting=count("waiting"),
        asked=count("asked", "returning"),
        committed=count("committed"),
        failed=count("failed"),
        back=count("returned"),
        approved_by=", ".join(approvals),
        needs_approval=ring.approval,
        soak_until=(rollout.passed_at or 0.0) + ring.soak_s if soaks else None,
    )
