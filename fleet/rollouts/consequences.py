"""What an order to a rollout would do, for who is about to give it. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from fleet.rollouts.rollout import Rollout
from fleet.rollouts.wording import name_of

ORDERS = ("approve", "resume", "pause", "abort")
"""What people can say to a rollout."""


def possible(rollout: Rollout, *, last: bool = True) -> list[str]:
    """The orders that a rollout takes now.

    last   whether no newer one has followed, so that one that has ended well can be taken back
    """
    match rollout.state:
        case "gated":
            return ["approve", "pause", "abort"]
        case "running":
            return ["pause", "abort"]
        case "paused":
            return ["resume", "abort"]
        case "done":
            return ["abort"] if last else []
        case _:
            return []


def touched(rollout: Rollout) -> int:
    """Boxes that an abort would give back what they ran."""
    return sum(
        member.asked and member.phase not in {"returning", "returned"}
        for member in rollout.members.values()
    )


def consequences(rollout: Rollout, do: str) -> list[str]:
    """What follows, a sentence each, the most important first."""
    say: dict[str, Callable[[Rollout], list[str]]] = {
        "abort": _aborted,
        "approve": _approved,
        "resume": _resumed,
        "pause": _paused,
    }
    return say[do](rollout)


def boxes(count: int) -> str:
    return f"{count:,} {'box' if count == 1 else 'boxes'}"


def _aborted(rollout: Rollout) -> list[str]:
    back = Counter(
        member.previous
        for member in rollout.members.values()
        if member.asked and member.phase not in {"returning", "returned"}
    )
    if not back:
        return ["No box was asked yet: nothing changes on any box, and none is asked any more."]
    told = [
        f"{boxes(count)} {'goes' if count == 1 else 'go'} back to "
        f"{name_of(path) if path else _flashed(count)}."
        for path, count in back.most_common()
    ]
    waiting = rollout.count("waiting")
    if waiting:
        told.append(f"{boxes(waiting)} that still {_waits(waiting)} {_are(waiting)} never asked.")
    told.append("It can't be taken back: another rollout brings the release again.")
    return told


def _approved(rollout: Rollout) -> list[str]:
    return [
        f"Ring {rollout.open_ring.name} begins: {_asked(rollout, rollout.ring)}.",
        *_speed(rollout),
    ]


def _resumed(rollout: Rollout) -> list[str]:
    if rollout.needs_approval:
        return [f"Ring {rollout.open_ring.name} waits for its approval again."]
    if rollout.falls_short:
        following = rollout.ring + 1
        told = f"Ring {rollout.open_ring.name} ended short of its success, and it goes on past it"
        if following < len(rollout.plan.rings):
            name = rollout.plan.rings[following].name
            return [f"{told}: ring {name} is next, {_asked(rollout, following)}.", *_speed(rollout)]
        return [f"{told}: it is the last ring."]
    ring = rollout.open_ring.name
    return [f"Ring {ring} goes on: {_asked(rollout, rollout.ring)}.", *_speed(rollout)]


def _paused(rollout: Rollout) -> list[str]:
    under_way = rollout.count("asked")
    going_on = f" {boxes(under_way)} under way {_goes(under_way)} on." if under_way else ""
    return [f"No further box is asked.{going_on} None goes back."]


def _asked(rollout: Rollout, ring: int) -> str:
    waiting = sum(m.phase == "waiting" and m.ring <= ring for m in rollout.members.values())
    return f"{boxes(waiting)} {_are(waiting)} asked to run {name_of(rollout.target)}"


def _speed(rollout: Rollout) -> list[str]:
    counted = len(rollout.members) - rollout.count("aside")
    at_once = max(1, math.floor(rollout.plan.at_once * counted + 1e-9))
    return [f"At most {boxes(at_once)} {'changes' if at_once == 1 else 'change'} at a time."]


def _flashed(count: int) -> str:
    return f"what {'it was' if count == 1 else 'they were'} flashed with"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _waits(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _goes(count: int) -> str:
    return "goes" if count == 1 else "go"
