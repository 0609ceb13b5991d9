"""A rollout as a state machine: what is known of the devices in, what to ask of them out. No I/O.

`step` may be called as often as one likes: with nothing new it changes and asks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from fleet.rollouts.plan import Ring
from fleet.rollouts.rollout import Member, MemberPhase, Rollout
from shared.topics import Address

HELD = "it waits: "


class Sighting(NamedTuple):
    """What the cloud knows of a device now.

    running   target path of the rollout's kind that is live there; empty: as flashed or installed
    current   whether it has read the newest that is wanted of it
    idle      whether no update is under way
    phase     the device's own word for what it does
    problem   why it does not go on right now; empty: it does
    failed    why it gave the rollout's target up; empty where it did not
    seen_at   UTC seconds until which nothing speaks against its being there
    stuck     why it gave up going back to what it ran before; empty where it did not
    offline   whether the broker says that it is gone
    aside     why no release should be given to it now; empty where one may
    """

    running: str = ""
    current: bool = False
    idle: bool = True
    phase: str = "idle"
    problem: str = ""
    failed: str = ""
    stuck: str = ""
    seen_at: float = 0.0
    offline: bool = False
    aside: str = ""


UNSEEN = Sighting(aside="it was never heard of")


class TargetRequest(NamedTuple):
    """That a device should run a target; an empty path is what it was flashed with."""

    address: Address
    target: str


class RolloutStep(NamedTuple):
    """What came of one look at the devices."""

    rollout: Rollout
    asks: tuple[TargetRequest, ...] = ()


def step(
    rollout: Rollout, seen: Mapping[Address, Sighting], now: float, held: str = ""
) -> RolloutStep:
    """Take in what is known of the devices at `now` (UTC seconds), and decide what follows.

    held   why no further device may be asked now; what was asked goes on, and what fails goes back
    """
    rollout = _looked(rollout, seen, now)
    if rollout.state in {"running", "gated", "paused"}:
        reason = _stops(rollout)
        if reason:
            rollout = replace(rollout, state="returning", reason=reason)
    if rollout.state in {"returning", "stopped"}:
        return _returned(rollout, seen, now)
    if held:
        return RolloutStep(_held(rollout, held))
    if rollout.state == "running":
        rollout = _advanced(_held(rollout, ""), now)
    if rollout.state in {"running", "done"}:
        return _asked(rollout, seen, now)
    return RolloutStep(rollout)


def _held(rollout: Rollout, why: str) -> Rollout:
    """With the reason why it waits, or without it where it does no longer."""
    reason = f"{HELD}{why}" if why else ""
    told = rollout.state == "running" and (why or rollout.reason.startswith(HELD))
    return replace(rollout, reason=reason) if told and rollout.reason != reason else rollout


# ---- what the devices say


def _looked(rollout: Rollout, seen: Mapping[Address, Sighting], now: float) -> Rollout:
    changed = {}
    for address, member in rollout.members.items():
        if address not in seen and not rollout.active:
            continue
        after = _member(rollout, member, seen.get(address, UNSEEN), now)
        if after is not member:
            changed[address] = after
    return replace(rollout, members={**rollout.members, **changed}) if changed else rollout


def _member(rollout: Rollout, member: Member, saw: Sighting, now: float) -> Member:
    match member.phase:
        case "waiting" | "aside":
            return _placed(rollout, member, saw, now)
        case "asked":
            ended = _ended(rollout, member, saw, now)
            return ended if ended is not member else _waited_for(rollout, member, saw, now)
        case "committed" | "failed" if rollout.active and saw.current and saw.idle:
            return _kept(rollout, member, saw, now)
        case "returning" if saw.current and saw.idle and saw.running == member.previous:
            return _now(member, "returned", member.reason, now)
        case "returning" if saw.current and saw.idle and saw.stuck:
            why = f"it could not go back: {saw.stuck}"
            return member if member.reason == why else replace(member, reason=why)
        case _:
            return member


def _now(member: Member, phase: MemberPhase, reason: str, now: float) -> Member:
    return replace(member, phase=phase, reason=reason, since=now)


def _placed(rollout: Rollout, member: Member, saw: Sighting, now: float) -> Member:
    """A member that is not on its way: set aside, or no longer so."""
    if saw.aside:
        unchanged = member.phase == "aside" and member.reason == saw.aside
        return member if unchanged else _now(member, "aside", saw.aside, now)
    if member.phase == "waiting" or rollout.state in {"returning", "stopped"}:
        return member
    if member.asked:
        # It was asked before it went out of reach: no other word is needed, only its answer.
        asked = _now(member, "asked", "", now)
        return _member(rollout, asked, saw, now) if saw.current else member
    return _now(member, "waiting", "", now)


def _ended(rollout: Rollout, member: Member, saw: Sighting, now: float) -> Member:
    """A member that was asked: whether it has kept the release or given it up."""
    if not (saw.current and saw.idle):
        return member
    if saw.running == rollout.target:
        return _now(member, "committed", "", now)
    # What it could not begin with yet may have failed in an earlier rollout, not in this one.
    given_up = bool(saw.failed) and not saw.problem
    return _now(member, "failed", saw.failed, now) if given_up else member


def _waited_for(rollout: Rollout, member: Member, saw: Sighting, now: float) -> Member:
    """A member that is on its way: whether it takes too long."""
    waited = now - member.since
    if not saw.current:
        # It never read what was asked, so its silence is not the release's doing.
        why = saw.aside or "it did not read what was asked of it"
        overdue = bool(saw.aside) or waited > rollout.plan.patience_s
        return _now(member, "aside", why, now) if overdue else member
    if now - saw.seen_at > rollout.plan.silent_s:
        return _now(member, "failed", f"it went silent while it was {saw.phase}", now)
    if saw.phase != member.seen_phase:
        return replace(member, seen_phase=saw.phase, since=now)
    if waited > rollout.plan.longest_s:
        why = f"it was {saw.phase} for {waited:.0f} s"
        return _now(member, "failed", f"{why}: {saw.problem}" if saw.problem else why, now)
    return member


def _kept(rollout: Rollout, member: Member, saw: Sighting, now: float) -> Member:
    """A member that had ended: whether it still does as it did."""
    runs_it = saw.running == rollout.target
    if member.phase == "committed" and not runs_it:
        return _now(member, "failed", saw.failed or "it went back by itself", now)
    return _now(member, "committed", "", now) if member.phase == "failed" and runs_it else member


# ---- what follows


def _stops(rollout: Rollout) -> str:
    """Why the rollout must stop now; empty where it need not."""
    for number, ring in enumerate(rollout.plan.rings):
        members = rollout.of_ring(number)
        failed = [member for member in members if member.phase == "failed"]
        limit = ring.failures_that_stop(len(members))
        if len(failed) >= limit:
            return _told(ring, failed, len(members))
    return ""


def _told(ring: Ring, failed: list[Member], members: int) -> str:
    first = failed[0]
    return (
        f"{len(failed)} of {members} failed in ring {ring.name}; "
        f"{first.address.device}: {first.reason}"
    )


def _advanced(rollout: Rollout, now: float) -> Rollout:
    """Through every ring that has ended well, up to one that has not."""
    while rollout.state == "running":
        ring = rollout.open_ring
        if not rollout.waived and not rollout.succeeds:
            if rollout.falls_short:
                return replace(rollout, state="paused", reason=_short(rollout, ring))
            return replace(rollout, passed_at=None) if rollout.passed_at is not None else rollout
        if rollout.passed_at is None:
            rollout = replace(rollout, passed_at=now)
        empty = not rollout.of_ring(rollout.ring)
        if not empty and now - (rollout.passed_at or now) < ring.soak_s:
            return rollout
        if rollout.ring + 1 < len(rollout.plan.rings):
            rollout = rollout.entered(rollout.ring + 1, now)
        elif rollout.count("asked"):
            return rollout
        else:
            rollout = replace(rollout, state="done", reason="")
    return rollout


def _short(rollout: Rollout, ring: Ring) -> str:
    members = rollout.of_ring(rollout.ring)
    committed = sum(member.phase == "committed" for member in members)
    return (
        f"{committed} of {len(members)} in ring {ring.name} kept the release, "
        f"{ring.success:.0%} were wanted; resume goes on all the same"
    )


def _asked(rollout: Rollout, seen: Mapping[Address, Sighting], now: float) -> RolloutStep:
    """Ask those whose ring is open, as many as may change at a time."""
    members = dict(rollout.members)
    counted = len(members) - rollout.count("aside")
    free = max(1, math.floor(rollout.plan.at_once * counted + 1e-9)) - rollout.count("asked")
    asks = []
    for address, member in rollout.members.items():
        if free <= 0:
            break
        if member.phase != "waiting" or member.ring > rollout.ring:
            continue
        saw = seen.get(address, UNSEEN)
        members[address] = replace(
            member, phase="asked", previous=saw.running, since=now, seen_phase="", asked=True
        )
        asks.append(TargetRequest(address, rollout.target))
        free -= 1
    return (
        RolloutStep(replace(rollout, members=members), tuple(asks))
        if asks
        else RolloutStep(rollout)
    )


def _returned(rollout: Rollout, seen: Mapping[Address, Sighting], now: float) -> RolloutStep:
    """Give back what was there before to all that were asked; stopped when all have it."""
    members = dict(rollout.members)
    asks = []
    for address, member in rollout.members.items():
        if member.asked and member.phase not in {"returning", "returned"}:
            members[address] = replace(member, phase="returning", since=now)
            asks.append(TargetRequest(address, member.previous))
    after = replace(rollout, members=members) if asks else rollout
    if not asks and after.state == "returning" and not _awaited(after, seen, now):
        after = replace(after, state="stopped")
    return RolloutStep(after, tuple(asks))


def _awaited(rollout: Rollout, seen: Mapping[Address, Sighting], now: float) -> bool:
    """Whether a device is on its way back; one that is offline goes back when it returns."""
    return any(
        member.phase == "returning"
        and now - member.since <= rollout.plan.longest_s
        and not _is_lost(seen.get(member.address, UNSEEN))
        for member in rollout.members.values()
    )


def _is_lost(saw: Sighting) -> bool:
    """Whether nothing more is to be expected of a device that was asked to go back."""
    return saw.offline or (saw.current and saw.idle and bool(saw.stuck))
