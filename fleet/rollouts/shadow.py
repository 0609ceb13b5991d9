"""One device's shadow document, and what can be read from it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from pydantic import BaseModel

from shared.topics import Address
from shared.wire import Desired, Reported, StateMessage

# An idle device says nothing for a while, and its broker would say that it is gone.
SILENT_S = 300.0
STOPPED = "it was stopped"
LOST = "the connection was lost: power, network or a crash"
NEVER = "it was never heard of"


@dataclass(frozen=True, slots=True)
class DeviceShadow:
    """What is wanted of a device, what it says, and how it fares.

    seen_at   UTC seconds when it was last heard, by our clock; 0: never
    why_offline   empty while the broker holds a connection to it
    skew_s    seconds by which its clock is behind ours; None: nothing was heard live
    """

    address: Address
    desired: Desired | None = None
    reported: Reported | None = None
    state: StateMessage | None = None
    seen_at: float = 0.0
    why_offline: str = ""
    skew_s: float | None = None

    @property
    def serial(self) -> int:
        """Of what is wanted of it; 0: nothing ever was."""
        return self.desired.serial if self.desired else 0

    @property
    def current(self) -> bool:
        """Whether it has read the newest that is wanted of it."""
        return self.reported is not None and self.reported.serial >= self.serial

    @property
    def hardware(self) -> str:
        """As `shared.releases.hardware_here` names it; empty where it has not said."""
        return self.reported.versions.get("hardware", "") if self.reported else ""

    def running(self, kind: str) -> str:
        """The target path that is live; empty: as flashed or installed, or not known."""
        return self.reported.running.get(kind, "") if self.reported else ""

    def gone(self, now: float) -> str:
        """Why it can't be reached; empty where it can."""
        if self.why_offline:
            return self.why_offline
        if not self.seen_at:
            return NEVER
        silent = now - self.seen_at
        return f"nothing was heard for {silent / 60:.0f} min" if silent > SILENT_S else ""

    def heard_state(self, state: StateMessage, now: float, *, live: bool) -> DeviceShadow:
        """live: said just now, not kept by the broker since some time in the past."""
        if state.state == "offline":
            if self.state is not None and state.boot != self.state.boot and not live:
                return self
            # The goodbye is dated later than all that was said before, the will is not.
            known = self.state
            stopped = (
                known is not None
                and known.boot == state.boot
                and (known.state == "stopping" or state.at > known.at)
            )
            kept = known if known is not None and known.boot == state.boot else state
            after = replace(self, why_offline=STOPPED if stopped else LOST)
            return replace(after, state=msgspec.structs.replace(kept, state="offline"))
        return _heard(replace(self, state=state, why_offline=""), state.at, now, live=live)

    def heard_reported(self, reported: Reported, now: float, *, live: bool) -> DeviceShadow:
        """live: as of a state."""
        return _heard(replace(self, reported=reported), reported.at, now, live=live)

    def wants(self, desired: Desired) -> DeviceShadow:
        """With another desired, under the next serial."""
        told = self.reported.serial if self.reported else 0
        # A cloud that lost its database must not count from below what devices have read.
        serial = max(self.serial, told) + 1
        return replace(self, desired=msgspec.structs.replace(desired, serial=serial))


def _heard(shadow: DeviceShadow, at: float, now: float, *, live: bool) -> DeviceShadow:
    if live:
        return replace(shadow, seen_at=now, skew_s=round(now - at, 1))
    # A box in 2040 was not heard just now because what it last said is dated later than that.
    return replace(shadow, seen_at=max(shadow.seen_at, min(at + (shadow.skew_s or 0.0), now)))


class DeviceHealth(BaseModel):
    """How a device fares, for people and programs; None where it has not said.

    offline   why it can't be reached; empty where it can
    problem   why an update does not go on right now
    skew_s    seconds by which its clock is behind the cloud's
    queue     results that wait to be sent
    """

    device: str
    site: str
    line: str
    seen_at: float
    offline: str
    hardware: str
    versions: dict[str, str]
    running: dict[str, str]
    phase: str
    target: str
    problem: str
    failed: dict[str, str]
    temperature_c: float | None
    disk_free_bytes: float | None
    skew_s: float | None
    queue: float | None
    current: bool
    held: str
    problems: list[str]


def health_of(shadow: DeviceShadow, now: float, put_out: str = "") -> DeviceHealth:
    """The health that a shadow tells of. put_out: why its certificate does not count now."""
    reported, state = shadow.reported, shadow.state
    facts = reported.facts if reported else {}
    waiting = float(state.waiting) if state else None
    return DeviceHealth(
        device=shadow.address.device,
        site=shadow.address.site,
        line=shadow.address.line,
        seen_at=shadow.seen_at,
        offline=shadow.gone(now),
        hardware=shadow.hardware,
        versions=dict(reported.versions) if reported else {},
        running=dict(reported.running) if reported else {},
        phase=reported.phase if reported else "",
        target=reported.target if reported else "",
        problem=reported.problem if reported else "",
        failed=dict(reported.failed) if reported else {},
        temperature_c=facts.get("temperature_c"),
        disk_free_bytes=facts.get("disk_free_bytes"),
        skew_s=shadow.skew_s,
        queue=facts.get("queue", waiting),
        current=shadow.current,
        held=put_out or (shadow.desired.held if shadow.desired else ""),
        problems=list(state.problems) if state else [],
    )
