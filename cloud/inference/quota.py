"""How much a device may send, and how many devices there may be."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from cloud.inference.throttle import LogThrottle
from shared.clock import Clock
from shared.log import get_logger
from shared.topics import PREFIX

log = get_logger("quota")

# A box that was cut off catches up, and a round's answer comes in pieces.
BURST_S = 10.0
# A device under a certificate may say any site and line; without any, lines may name theirs alike.
MOST_PLACES = 64
FORGOTTEN_S = 3600.0
TOLD_S = 60.0


@dataclass(slots=True)
class _Sender:
    left: float
    at: float
    places: set[tuple[str, str]] = field(default_factory=set)
    over: float = float("-inf")
    astray: float = float("-inf")


class DeviceQuota:
    """Counts what comes, by device. For the transport's thread; `problems` for any."""

    def __init__(self, clock: Clock, *, messages_per_s: float, names: int) -> None:
        """names: devices that are known at a time, at most"""
        self._clock = clock
        self._rate = messages_per_s
        self._burst = messages_per_s * BURST_S
        self._names = names
        self._senders: dict[str, _Sender] = {}
        self._throttle = LogThrottle(clock)
        self._lock = threading.Lock()
        self._full_at = float("-inf")
        self.refused = 0

    def admits(self, topic: str) -> bool:
        """Whether a message that came on this topic may be read; it counts if so.

        A topic that is none of a device's belongs to nobody, who has a quota too.
        """
        steps = topic.split("/", 5)
        known = len(steps) == 6 and f"{steps[0]}/{steps[1]}" == PREFIX
        device, place = (steps[4], (steps[2], steps[3])) if known else ("", ("", ""))
        now = self._clock.monotonic()
        with self._lock:
            sender = self._sender(device[:64], now)
            if sender is None:
                self.refused += 1
                return False
            if place not in sender.places:
                if len(sender.places) >= MOST_PLACES:
                    sender.astray = now
                    return self._refuse(device, "speaks for too many sites and lines")
                sender.places.add(place)
            sender.left = min(self._burst, sender.left + (now - sender.at) * self._rate)
            sender.at = now
            if sender.left < 1:
                sender.over = now
                return self._refuse(device, f"sends more than {self._rate:g}/s")
            sender.left -= 1
            return True

    @property
    def problems(self) -> list[str]:
        """One sentence for each device that is over its quota, for people."""
        now = self._clock.monotonic()
        with self._lock:
            over = [name for name, one in self._senders.items() if now - one.over < TOLD_S]
            astray = [name for name, one in self._senders.items() if now - one.astray < TOLD_S]
            full = now - self._full_at < TOLD_S
        told = [
            f"{name or 'a topic of no device'} sends more than its quota: what is over it is not "
            "read. See what runs there, or raise quota.messages_per_s."
            for name in over[:5]
        ]
        if len(over) > len(told):
            told.append(f"{len(over) - len(told)} further devices send more than their quota.")
        if astray:
            told.append(
                f"{', '.join(astray[:5])} speaks for more than {MOST_PLACES} sites and lines: "
                "those above are not heard. Give each box a `device` of its own."
            )
        if full:
            told.append(
                f"More than {self._names} devices speak: new ones are not heard. Someone makes up "
                "names, or quota.devices is too small."
            )
        return told

    def _sender(self, device: str, now: float) -> _Sender | None:
        sender = self._senders.get(device)
        if sender is None:
            if len(self._senders) >= self._names and now - self._full_at > 1.0:
                heard = self._senders.items()
                self._senders = {k: one for k, one in heard if now - one.at < FORGOTTEN_S}
            if len(self._senders) >= self._names:
                self._full_at = now
                if self._throttle.may_tell("names"):
                    log.warning("too_many_devices", device=device, most=self._names)
                return None
            sender = self._senders[device] = _Sender(self._burst, now)
        return sender

    def _refuse(self, device: str, why: str) -> bool:
        self.refused += 1
        count = self._throttle.may_tell(device)
        if count:
            log.warning("over_quota", device=device[:64], reason=why, messages=count)
        return False
