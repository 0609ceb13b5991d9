"""What a rollout came to: shares and seconds, from what the devices themselves lived through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hardware_sim.scale.rollout.behaviour import Behaviour


class BoxStory(msgspec.Struct):
    """What a box lived through; times are seconds on the machine's monotonic clock.

    ran     release path and since when it judged parts, in order
    crashes of its process
    gap_s   the longest time between two parts that were inspected, which ended at `gap_at`
    """

    device: str
    ran: list[tuple[str, float]] = []
    parts: int = 0
    crashes: int = 0
    gap_s: float = 0.0
    gap_at: float = 0.0
    last_at: float | None = None


class RolloutReport(msgspec.Struct, frozen=True):
    """One rollout of one release.

    stopped_at_share   share of the devices that were asked to take it, where it was stopped
    live_share         share of the devices on which it ever judged a part
    back_on_old_s      from the first part that a bad release judged until the last device was
                       back on the old one, in seconds; 0 where it never judged any
    returned_s         from the decision to stop until the cloud had heard that all are back
    reached_share      share of the devices that keep the release at the end
    gap_s              the longest time in which a device inspected no part, the interval between
                       two parts counted in; gap_at_rest_s: the longest before the rollout began
    """

    devices: int
    release: Behaviour
    state: str
    reason: str
    stopped_at_share: float | None
    live_share: float
    back_on_old_s: float | None
    returned_s: float | None
    reached_share: float
    gap_s: float
    gap_median_s: float
    every_s: float
    crashes: int
    minutes: float
    parts: int
    shadow_parts: int
    health_s: float
    spared: int
    machine: str
    measured_at: str

    @property
    def broken(self) -> list[str]:
        """Which promises it breaks, in words; none for a rollout that went as it should."""
        promises = [
            ("a device inspected nothing for more than 10 s", self.gap_s <= MOST_GAP_S),
        ]
        if self.release == "good":
            promises += [("a good release did not reach every device", self.reached_share == 1.0)]
        else:
            stopped, back = self.stopped_at_share, self.back_on_old_s
            promises += [
                ("a bad release was not stopped", self.state == "stopped"),
                (
                    "more than 5 % of the devices were given a bad release",
                    stopped is not None and stopped <= max(MOST_SHARE, 1.0 / self.devices),
                ),
                (
                    "not every device was back on the old release after 120 s",
                    back is not None and back <= MOST_BACK_S,
                ),
                ("somebody still runs a bad release", self.reached_share == 0.0),
            ]
        return [what for what, kept in promises if not kept]


MOST_SHARE = 0.05
MOST_BACK_S = 120.0
MOST_GAP_S = 10.0


def seconds_until_back(stories: Sequence[BoxStory], bad: str) -> float | None:
    """From the first part that `bad` judged to the last device that was rid of it; None: one is
    not; 0: it judged none.
    """
    began, over = [], []
    for story in stories:
        times = [(path, at) for path, at in story.ran]
        for number, (path, at) in enumerate(times):
            if path != bad:
                continue
            began.append(at)
            if number + 1 == len(times):
                return None
            over.append(times[number + 1][1])
    return max(over) - min(began) if began else 0.0


def kept_by(status: dict[str, Any]) -> float:
    """The share of its devices that keep the release."""
    return float(status["committed"]) / max(1, int(status["devices"]))
