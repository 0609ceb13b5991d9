"""Whether a scenario's devices and faults fit together, told of a whole one or of what can be read.

Field by field a scenario may be well and still be impossible: a fault on a device that is not
there, two faults that would end each other, a belt so slow that the last part never arrives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter, ValidationError

from hardware_sim.compute.profiles import load_profile
from hardware_sim.scenario.device import DeviceSettings
from hardware_sim.scenario.faults.base import ALL, FAULTS, Fault
from hardware_sim.scenario.faults.line import SpeedFault
from shared.errors import SettingsError

LATE_S = 30.0
"""The last part must have passed its ejector so long after the scenario's end."""
Problem = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True)
class ScenarioElements:
    """What a scenario is made of, each fault with its place on the timeline.

    duration_s   infinite where it can't be read
    processes    that can be at fault, besides boxes; None where they can't be read
    """

    duration_s: float
    devices: Sequence[DeviceSettings]
    faults: Sequence[tuple[int, Fault]]
    processes: Sequence[str] | None = None


def readable(values: Mapping[str, object]) -> ScenarioElements:
    """The parts of a scenario with mistakes, as far as they can be read."""
    seconds = values.get("duration_s")
    known = isinstance(seconds, int | float) and seconds > 0
    faults = ((index, _fault_of(raw)) for index, raw in enumerate(_list(values, "timeline")))
    return ScenarioElements(
        float(seconds) if known and isinstance(seconds, int | float) else math.inf,
        [_device_of(raw) for raw in _list(values, "devices")],
        [(index, fault) for index, fault in faults if fault is not None],
    )


def problems(parts: ScenarioElements) -> Iterator[Problem]:
    """(where, what is wrong there)."""
    for index in range(len(parts.devices)):
        yield from _of_device(parts, index)
    yield from _of_aims(parts)
    for index, fault in parts.faults:
        if fault.ends_s > parts.duration_s:
            ends = f"ends {fault.ends_s:g} s in, after the scenario's {parts.duration_s:g} s"
            yield ("timeline", index, "at_s"), ends
    yield from _of_overlaps(parts)


def _of_device(parts: ScenarioElements, index: int) -> Iterator[Problem]:
    device, where = parts.devices[index], ("devices", index)
    if device.deadline_ms < 1:
        left = f"leaves the box no time: the line gives it {device.given_ms:.0f} ms"
        yield (*where, "margin_ms"), left
    if device.profile is not None:
        try:
            load_profile(device.profile)
        except SettingsError as error:
            yield (*where, "profile"), f"{error.message}; {error.fix}"
    if sum(device.name == one.name for one in parts.devices) > 1 or device.name == ALL:
        yield (*where, "name"), "is taken: each device needs a name of its own"
    yield from _never_ends(parts, index)


def _of_aims(parts: ScenarioElements) -> Iterator[Problem]:
    profiles = {device.name: device.profile for device in parts.devices}
    for index, fault in parts.faults:
        if fault.aim not in {None, ALL, *profiles}:
            known = ", ".join(profiles)
            yield ("timeline", index, "device"), f"there is no {fault.aim!r}; there are {known}"
        if parts.processes is not None and fault.process not in {"", *parts.processes}:
            known = ", ".join(parts.processes)
            yield ("timeline", index, "kind"), f"there is no {fault.process}; there are {known}"
        if fault.needs_profile and not profiles.get(fault.aim or ""):
            what = "needs a device with a `profile`: this machine has no driver or heat to act"
            yield ("timeline", index, "device"), what


def _of_overlaps(parts: ScenarioElements) -> Iterator[Problem]:
    """The end of one fault would end another of its kind, too."""
    for place, (index, fault) in enumerate(parts.faults):
        for earlier, other in parts.faults[:place]:
            first, second = sorted((fault, other), key=lambda one: one.at_s)
            if _like(fault, other) and second.at_s < first.ends_s:
                also = f"happens while timeline.{earlier}, of the same kind, has not ended"
                yield ("timeline", index, "at_s"), also
                break


def _like(one: Fault, other: Fault) -> bool:
    """Whether they act on the same of the same device."""
    aims = {one.aim, other.aim}
    return one.acts_on == other.acts_on and (len(aims) == 1 or ALL in aims)


def _never_ends(parts: ScenarioElements, index: int) -> Iterator[Problem]:
    device, limit = parts.devices[index], parts.duration_s + LATE_S
    if not math.isfinite(limit):
        return
    ends = _last_ejected_s(device, parts.duration_s, [])
    if ends > limit:
        late = f"its last part passes the ejector {ends:.0f} s in, not within {limit:g} s"
        yield ("devices", index, "line"), f"never ends: {late}"
        return
    aimed = [
        (place, fault)
        for place, fault in parts.faults
        if isinstance(fault, SpeedFault) and fault.device in {ALL, device.name}
    ]
    ends = _last_ejected_s(device, parts.duration_s, [fault for _, fault in aimed])
    if ends > limit:
        slowest, _ = min(aimed, key=lambda one: one[1].speed)
        late = f"{device.name}'s last part passes its ejector {ends:.0f} s in"
        yield ("timeline", slowest, "speed"), f"never ends: {late}, not within {limit:g} s"


def _last_ejected_s(device: DeviceSettings, seconds: float, changes: list[SpeedFault]) -> float:
    line = device.line.line
    left = device.parts_in(seconds) * line.pitch + line.ejector_at
    at, speed = 0.0, line.speed
    for change in sorted(changes, key=lambda one: one.at_s):
        travelled = (change.at_s - at) * speed
        if travelled >= left:
            break
        left, at, speed = left - travelled, change.at_s, change.speed
    return at + left / speed


def _list(values: Mapping[str, object], key: str) -> list[object]:
    found = values.get(key)
    return found if isinstance(found, list) else []


def _device_of(raw: object) -> DeviceSettings:
    """A device with mistakes still has its name, so that faults may be aimed at it."""
    try:
        return DeviceSettings.model_validate(raw)
    except ValidationError:
        said = raw if isinstance(raw, Mapping) else {}
        profile = said.get("profile")
        known = profile if isinstance(profile, str) else None
        return DeviceSettings.model_construct(name=str(said.get("name")), profile=known)


@cache
def _any_fault() -> TypeAdapter[Fault]:
    return TypeAdapter(FAULTS.settings())


def _fault_of(raw: object) -> Fault | None:
    try:
        return _any_fault().validate_python(raw)
    except ValidationError:
        return None
