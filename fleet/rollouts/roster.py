"""Who takes part in a rollout, in which ring, and in words why not. No I/O."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fleet.rollouts.plan import RolloutPlan, divide, matches
from fleet.rollouts.rollout import Member, Rollout
from fleet.rollouts.shadow import NEVER, DeviceShadow
from fleet.rollouts.step import Sighting
from shared.errors import RolloutError
from shared.releases import ReleaseFacts
from shared.topics import Address


def enlist(
    target: str,
    plan: RolloutPlan,
    known: Mapping[Address, DeviceShadow],
    unfit_now: Callable[[DeviceShadow], str],
) -> dict[Address, Member]:
    """The members of a new rollout, in the order in which they are asked.

    unfit_now   why a device is set aside, as `unfit` says it
    Raises RolloutError for a group that no device is in, or where none can take the release.
    """
    order = sorted(known, key=lambda address: lot(target, address))
    aside = {address: unfit_now(known[address]) for address in order}
    fit = [address for address in order if not aside[address]]
    _, unmatched = divide(plan, order)
    if unmatched:
        raise RolloutError(
            f"no device is in {', '.join(unmatched)}",
            fix="groups are globs of SITE/LINE/DEVICE; `splitsight fleet devices` lists devices",
        )
    ring_of, _ = divide(plan, fit)
    if not ring_of:
        raise _nobody(target, aside)
    members = {address: Member(address, ring_of[address]) for address in fit if address in ring_of}
    for address in order:
        ring = late_ring(plan, address)
        if aside[address] and ring is not None:
            members[address] = Member(address, ring, "aside", aside[address])
    return members


def unfit(
    shadow: DeviceShadow,
    facts: ReleaseFacts,
    away_s: float,
    put_out: Mapping[str, str],
    *,
    now: float,
    listening_since: float,
) -> str:
    """Why the device is set aside; empty where it takes part.

    away_s    seconds that it may have been out of reach
    put_out   devices that are held or revoked, and why
    """
    if shadow.running(facts.kind) == facts.path:
        return "it runs it already"
    put = put_out.get(shadow.address.device, "")
    if put or (shadow.desired is not None and shadow.desired.held):
        return put or f"held: {shadow.desired.held if shadow.desired else ''}"
    if shadow.reported is None:
        return "it has not said what it runs" if shadow.seen_at else NEVER
    if not facts.fits(shadow.hardware):
        fits = ", ".join(facts.hardware)
        return f"it is {shadow.hardware or 'of unknown hardware'}, the release fits {fits}"
    # Where the broker says that it is there, it may just not have had anything to say.
    heard = shadow.seen_at if shadow.why_offline else max(shadow.seen_at, listening_since)
    if now - heard > away_s:
        return f"it was not heard of for {_long(now - heard)}; it is asked when it is back"
    return ""


def sighting(
    rollout: Rollout, shadow: DeviceShadow, aside: str, listening_since: float
) -> Sighting:
    """What a rollout needs to know of a device.

    listening_since   UTC seconds before which nobody could be heard
    """
    member = rollout.members.get(shadow.address)
    said, seen_at = shadow.reported, max(shadow.seen_at, listening_since)
    if said is None:
        return Sighting(seen_at=seen_at, offline=bool(shadow.why_offline), aside=aside)
    return Sighting(
        running=said.running.get(rollout.kind, ""),
        current=shadow.current,
        # What it does may be about another kind of release.
        idle=said.phase == "idle" or said.target != rollout.target,
        phase=said.phase,
        problem=said.problem,
        failed=said.failed.get(rollout.target, ""),
        stuck=said.failed.get(member.previous, "") if member is not None else "",
        seen_at=seen_at,
        offline=bool(shadow.why_offline),
        aside=aside,
    )


def late_ring(plan: RolloutPlan, address: Address) -> int | None:
    """The ring of a device that comes late; None where the plan leaves it out."""
    for number, ring in enumerate(plan.rings):
        if ring.groups is not None and matches(ring.groups, address):
            return number
    last = len(plan.rings) - 1
    return last if plan.rings[last].share == 1.0 else None


def _nobody(target: str, aside: Mapping[Address, str]) -> RolloutError:
    reasons = Counter(aside.values()).most_common(3)
    told = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    return RolloutError(
        f"no device can take {target}: {told or 'none is known'}",
        fix="`splitsight fleet health` lists devices with hardware and what they run",
    )


def no_tails(facts: ReleaseFacts, lacking: Sequence[str]) -> RolloutError:
    """Some workers lack it, as these sentences say."""
    return RolloutError(
        f"{facts.path} can't be rolled out yet: {'; '.join(lacking)}",
        fix="a worker with the same `fleet` folder opens it within seconds: try again; else add "
        "the bundle to that worker's `bundles`",
    )


def no_tail(facts: ReleaseFacts) -> RolloutError:
    return RolloutError(
        f"the cloud does not serve the tail of pair {facts.pair or '(none)'}, which "
        f"{facts.path} needs",
        fix="publish the bundle with `splitsight fleet release publish`, or add it to `bundles`",
    )


def lot(target: str, address: Address) -> str:
    """Another order for each release, so that it is not always the same line that tries first."""
    place = f"{target} {address.site}/{address.line}/{address.device}"
    return hashlib.sha256(place.encode()).hexdigest()


def _long(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
