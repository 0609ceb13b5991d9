"""Which of several rollouts has the last word on a device. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleet.rollouts.rollout import Member, Rollout
from fleet.rollouts.roster import late_ring
from fleet.rollouts.store import StoredRollout
from shared.errors import RolloutError
from shared.releases import ReleaseFacts
from shared.topics import Address


def newest_of_each_kind(kept: Iterable[StoredRollout], address: Address) -> list[StoredRollout]:
    """The rollouts whose word counts for a device, were it a member."""
    chosen: dict[str, StoredRollout] = {}
    for one in sorted(kept, key=lambda one: -one.rollout.id):
        rollout = one.rollout
        if rollout.state in {"running", "gated", "paused", "done"} and (
            late_ring(rollout.plan, address) is not None
        ):
            chosen.setdefault(rollout.kind, one)
    return list(chosen.values())


def is_owed(rollout: Rollout) -> bool:
    """Whether a rollout that has ended still has to do with a device that comes back."""
    return rollout.count("waiting", "aside", "asked", "returning") > 0


def is_last_word(kept: Iterable[StoredRollout], rollout: Rollout, address: Address) -> bool:
    """Whether no newer rollout of the kind has asked the device for something else."""
    for one in kept:
        newer = one.rollout
        if newer.id <= rollout.id or newer.kind != rollout.kind:
            continue
        member = newer.members.get(address)
        if member is not None and (member.asked or newer.state == "done"):
            return False
    return True


def require_alone(
    kept: Iterable[StoredRollout], facts: ReleaseFacts, members: Mapping[Address, Member]
) -> None:
    """Raises RolloutError where another rollout of the kind is under way on the same devices."""
    for one in kept:
        other = one.rollout
        if not other.active or other.kind != facts.kind:
            continue
        shared = [a for a, m in members.items() if a in other.members and m.phase != "aside"]
        if shared:
            raise RolloutError(
                f"rollout {other.id} of {other.target} is {other.state} on {len(shared)} of "
                "these devices",
                fix=f"wait until it is over, or `splitsight fleet rollout abort {other.id}`",
            )


def require_last(kept: Iterable[StoredRollout], rollout: Rollout) -> None:
    """Raises RolloutError where a newer rollout has changed devices of this one."""
    kept = list(kept)
    members = rollout.members.items()
    changed = [a for a, m in members if m.asked and not is_last_word(kept, rollout, a)]
    if changed:
        raise RolloutError(
            f"a newer rollout has changed {len(changed)} of the devices of rollout {rollout.id}",
            fix="abort the newer one, or release the older content under a new version",
        )
