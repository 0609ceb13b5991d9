"""A rollout: its devices, its rings, how it stands, and what people can do to it. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

from fleet.rollouts.plan import Ring, RolloutPlan
from shared.errors import RolloutError
from shared.topics import Address

MemberPhase = Literal["waiting", "aside", "asked", "committed", "failed", "returning", "returned"]
MEMBER_PHASES: tuple[MemberPhase, ...] = get_args(MemberPhase)
RolloutState = Literal["running", "gated", "paused", "returning", "stopped", "done"]
ROLLOUT_STATES: tuple[RolloutState, ...] = get_args(RolloutState)
ACTIVE: frozenset[RolloutState] = frozenset({"running", "gated", "paused", "returning"})


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a rollout.

    previous   what it ran before it was asked, to go back to
    since      UTC seconds when its phase, or the device's own word for it, last changed
    seen_phase the device's own word
    asked      whether it was ever asked: that is retained for it until it is taken back
    """

    address: Address
    ring: int
    phase: MemberPhase = "waiting"
    reason: str = ""
    previous: str = ""
    since: float = 0.0
    seen_phase: str = ""
    asked: bool = False


class Approval(NamedTuple):
    """Who let a ring begin, and when (UTC seconds)."""

    ring: int
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One release on its way to its devices.

    ring        the number of the ring that is open
    opened_at   when it was opened, UTC seconds
    passed_at   when enough of its devices kept the release; None: not yet
    reason      why it is paused, going back or stopped, for people
    waived      the ring goes on although too few of its devices kept the release: a person said so
    """

    id: int
    kind: str
    target: str
    plan: RolloutPlan
    state: RolloutState = "running"
    ring: int = 0
    opened_at: float = 0.0
    passed_at: float | None = None
    reason: str = ""
    waived: bool = False
    approvals: tuple[Approval, ...] = ()
    members: Mapping[Address, Member] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def of_ring(self, number: int) -> list[Member]:
        """The members of a ring that were not set aside."""
        return [m for m in self.members.values() if m.ring == number and m.phase != "aside"]

    def count(self, *phases: MemberPhase) -> int:
        return sum(member.phase in phases for member in self.members.values())

    @property
    def share_touched(self) -> float:
        """The share of its devices that were given the release, those set aside not counted."""
        counted = len(self.members) - self.count("aside")
        touched = self.count("asked", "committed", "failed", "returning", "returned")
        return touched / counted if counted else 0.0

    @property
    def open_ring(self) -> Ring:
        return self.plan.rings[self.ring]

    @property
    def needs_approval(self) -> bool:
        """Whether the open ring waits for a person."""
        approved = any(approval.ring == self.ring for approval in self.approvals)
        return self.open_ring.approval and not approved

    @property
    def succeeds(self) -> bool:
        """Whether enough of the open ring's members keep the release, and none still waits."""
        members = self.of_ring(self.ring)
        committed = sum(member.phase == "committed" for member in members)
        wanted = math.ceil(self.open_ring.success * len(members) - 1e-9)
        waiting = any(member.phase == "waiting" for member in members)
        return committed >= wanted and not waiting

    @property
    def falls_short(self) -> bool:
        """Whether every member of the open ring has ended, too few of them with the release."""
        members = self.of_ring(self.ring)
        under_way = any(member.phase in {"waiting", "asked"} for member in members)
        return not under_way and not self.succeeds

    def entered(self, number: int, now: float) -> Rollout:
        """With this ring open, or waiting for the approval that it needs."""
        entered = replace(
            self, state="running", ring=number, opened_at=now, passed_at=None, waived=False
        )
        return entered.gated() if entered.needs_approval else replace(entered, reason="")

    def gated(self) -> Rollout:
        reason = f"ring {self.open_ring.name} waits for an approval"
        return replace(self, state="gated", reason=reason)


def pause(rollout: Rollout, by: str) -> Rollout:
    """Ask no further device. Raises RolloutError where it is not under way."""
    if rollout.state not in {"running", "gated"}:
        raise _cannot(rollout, "paused", "only a rollout that is under way can be")
    return replace(rollout, state="paused", reason=f"paused by {by}")


def resume(rollout: Rollout, by: str, now: float) -> Rollout:
    """Go on; where the open ring has ended short of its success, past it.

    Raises RolloutError where it is not paused.
    """
    if rollout.state != "paused":
        raise _cannot(rollout, "resumed", _AFTERWARDS if not rollout.active else "it is not paused")
    resumed = replace(rollout, state="running", reason="")
    if resumed.needs_approval:
        return resumed.gated()
    if resumed.falls_short:
        return replace(resumed, waived=True, passed_at=now, reason=f"resumed by {by}")
    return resumed


def approve(rollout: Rollout, by: str, now: float) -> Rollout:
    """Let the ring begin that waits for it. Raises RolloutError where none does."""
    if rollout.state != "gated":
        raise _cannot(rollout, "approved", "no ring waits for an approval")
    approvals = (*rollout.approvals, Approval(rollout.ring, by, now))
    return replace(
        rollout, state="running", reason="", approvals=approvals, opened_at=now, passed_at=None
    )


def abort(rollout: Rollout, by: str, why: str = "") -> Rollout:
    """Give every device that took the release its previous one back; after the end, too.

    Raises RolloutError where it goes back already, or has.
    """
    if rollout.state not in {"running", "gated", "paused", "done"}:
        raise _cannot(rollout, "aborted", _AFTERWARDS)
    reason = f"aborted by {by}" + (f": {why}" if why else "")
    return replace(rollout, state="returning", reason=reason)


_AFTERWARDS = "start another rollout with the release that the devices should run"


def _cannot(rollout: Rollout, what: str, fix: str) -> RolloutError:
    about = f", {rollout.reason}" if rollout.reason else ""
    return RolloutError(
        f"rollout {rollout.id} can't be {what}: it is {rollout.state}{about}", fix=fix
    )
