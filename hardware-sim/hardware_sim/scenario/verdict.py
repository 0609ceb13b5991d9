"""Whether a run is what its scenario expects, and the report that says so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np

from hardware_sim.line.ejector import CELLS
from hardware_sim.scenario.faults.base import ALL
from hardware_sim.scenario.records import RecordedParts
from hardware_sim.scenario.run import DeviceSnapshot, Observed
from hardware_sim.scenario.settings import Expectations, Scenario
from hardware_sim.scenario.station import PassedPart

MOST_TOLD = 3
BOX_FAULTS = ("power", "pause")
START_S = 20.0
ONLINE_WAITING = 10
"""A box that works holds some inspections on their way; more mean that it still catches up."""


class Check(msgspec.Struct, frozen=True):
    """One expectation: what was wanted, what was found."""

    name: str
    wanted: str
    found: str
    ok: bool


class DeviceReport(msgspec.Struct, frozen=True):
    """A device's truth table, from what passed its ejector.

    goods_diverted  without those that a person shall look at, which `cells` has as reviewed

    overrun_share   of its inferences, those that took this machine longer than the device's
                    profile allows; None without a profile
    """

    device: str
    parts: int
    defects: int
    cells: dict[str, int]
    defects_passed: int
    goods_diverted: int
    overrun_share: float | None


class FaultReport(msgspec.Struct, frozen=True):
    """A fault's beginning or end, seconds after the start."""

    at_s: float
    what: str
    device: str
    began: bool


class ScenarioReport(msgspec.Struct, frozen=True):
    """The report of `splitsight sim run`.

    latency_ms   trigger to verdict of parts that edge or cloud decided: p50 and p99
    decided_by   who decided what the line did, whatever an inspector said since
    reviewed     parts that the simulated inspector labelled; settled, whose verdict that became
    bytes_up     through all links, whole connections; bytes_per_part, of that
    """

    name: str
    ok: bool
    seconds: float
    checks: list[Check]
    devices: list[DeviceReport]
    faults: list[FaultReport]
    decided_by: dict[str, int]
    lost: int
    duplicates: int
    latency_ms: dict[str, float | None]
    recovered_s: float | None
    bytes_up: int
    bytes_per_part: float
    reviewed: int
    settled: int


def report(scenario: Scenario, observed: Observed, found: RecordedParts) -> ScenarioReport:
    """Judge a run."""
    devices = [_device(name, parts, observed) for name, parts in observed.passed.items()]
    recovered = recovery_s(observed)
    checks = list(_checks(scenario.expect, devices, observed, found, recovered))
    parts = sum(device.parts for device in devices)
    up = sum(_last(observed, device.device).bytes_up for device in devices if observed.looks)
    times = found.latency_ms
    return ScenarioReport(
        name=scenario.name,
        ok=all(check.ok for check in checks),
        seconds=round(observed.ended_s, 1),
        checks=checks,
        devices=devices,
        faults=[FaultReport(round(h.at, 2), h.what, h.device, h.began) for h in observed.happened],
        decided_by=found.decided_by,
        lost=found.lost,
        duplicates=found.duplicates,
        latency_ms={
            "p50": float(np.percentile(times, 50)) if times else None,
            "p99": found.p99_latency_ms,
        },
        recovered_s=None if recovered is None else round(recovered, 1),
        bytes_up=up,
        bytes_per_part=round(up / parts, 1) if parts else 0.0,
        reviewed=observed.reviewed,
        settled=found.settled,
    )


def recovery_s(observed: Observed) -> float | None:
    """Seconds from the last fault's end until every device was well and stayed so.

    Well: online, nothing piled up, and the last part that passed had a verdict. 0 where nothing
    was ever wrong; None where it never was well again.
    """
    ends = [happened.at for happened in observed.happened]
    if not ends:
        return 0.0
    end = max(ends)
    since = 0.0
    for name, parts in observed.passed.items():
        late = [p.at - observed.started for p in parts if p.verdict is None]
        bad = [look.at for look in observed.looks if look.device == name and not _well(look)]
        good = [look.at for look in observed.looks if look.device == name and _well(look)]
        last_bad = max([0.0, *late, *bad])
        after = [at for at in good if at > last_bad]
        if not after and last_bad > end:
            return None
        if last_bad > end:
            since = max(since, min(after) - end)
    return since


def unexcused(observed: Observed, device: str) -> list[PassedPart]:
    """Parts without a verdict that came by while the device's box was there to judge them.

    A box is away from its fault's beginning until its first verdict after the end, START_S later
    at most. A part that came shortly before that was open then.
    """
    parts = observed.passed[device]
    told = sorted(part.triggered for part in parts if part.verdict is not None)
    away, began = [], None
    for happened in observed.happened:
        if happened.device not in {device, ALL} or happened.what not in BOX_FAULTS:
            continue
        at = observed.started + happened.at
        if happened.began:
            began = at
        elif began is not None:
            back = next((trigger for trigger in told if trigger >= at), at + START_S)
            away.append((began, min(back, at + START_S)))
            began = None
    if began is not None:
        away.append((began, math.inf))
    return [
        part
        for part in parts
        if part.verdict is None
        and not any(begin <= part.at and part.triggered <= end for begin, end in away)
    ]


def _well(look: DeviceSnapshot) -> bool:
    return look.online and look.waiting is not None and look.waiting <= ONLINE_WAITING


def _device(name: str, parts: list[PassedPart], observed: Observed) -> DeviceReport:
    shares = [look.overrun_share for look in observed.looks if look.device == name]
    known = [share for share in shares if share is not None]
    cells = Counter(part.cell for part in parts)
    defective = [part for part in parts if part.defect != "good"]
    return DeviceReport(
        device=name,
        parts=len(parts),
        defects=len(defective),
        cells={cell: cells[cell] for cell in CELLS},
        defects_passed=sum(not part.diverted for part in defective),
        goods_diverted=sum(
            part.diverted and part.defect == "good" and part.cell != "reviewed" for part in parts
        ),
        overrun_share=round(known[-1], 4) if known else None,
    )


def _checks(
    wanted: Expectations,
    devices: list[DeviceReport],
    observed: Observed,
    found: RecordedParts,
    recovered: float | None,
) -> Iterator[Check]:
    def total(cell: str) -> int:
        return sum(device.cells[cell] for device in devices)

    parts = sum(device.parts for device in devices)
    yield Check("parts", "≥ 1", str(parts), parts >= 1)
    silent = total("no_verdict")
    if wanted.while_up:
        silent = sum(len(unexcused(observed, device.device)) for device in devices)
    if wanted.without_verdict is not None:
        yield _at_most("without_verdict", wanted.without_verdict, silent)
    elif wanted.no_part_without_verdict:
        yield _at_most("no_part_without_verdict", 0, silent)
    if wanted.wrong_part is not None:
        yield _at_most("wrong_part", wanted.wrong_part, total("wrong_part"))
    yield _at_most("lost", wanted.lost, found.lost)
    yield _at_most("duplicates", wanted.duplicates, found.duplicates)
    yield from _shares(wanted, devices, found)
    if wanted.late is not None:
        yield _at_most("late", wanted.late, sum(observed.late.values()))
    if wanted.p99_latency_ms is not None:
        yield _at_most("p99_latency_ms", wanted.p99_latency_ms, found.p99_latency_ms)
    if wanted.recovered_within_s is not None:
        yield _at_most("recovered_within_s", wanted.recovered_within_s, recovered)
    if wanted.rollouts_done is not None:
        states = Counter(one.state for one in observed.rollouts)
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
        done = states["done"] >= wanted.rollouts_done
        yield Check("rollouts_done", f"≥ {wanted.rollouts_done}", told, done)
    yield from _seen(wanted, observed)


def _shares(
    wanted: Expectations, devices: list[DeviceReport], found: RecordedParts
) -> Iterator[Check]:
    parts = sum(device.parts for device in devices)
    defects = sum(device.defects for device in devices)
    if wanted.escapes is not None:
        passed = sum(device.defects_passed for device in devices)
        yield _share("escapes", wanted.escapes, passed, defects)
    if wanted.overkill is not None:
        diverted = sum(device.goods_diverted for device in devices)
        yield _share("overkill", wanted.overkill, diverted, parts - defects)
    if wanted.decided_by_deadline is not None:
        by_deadline = found.decided_by.get("deadline", 0)
        yield _share("decided_by_deadline", wanted.decided_by_deadline, by_deadline, parts)


def _seen(wanted: Expectations, observed: Observed) -> Iterator[Check]:
    """What must have shown on the way."""
    shown = {problem for look in observed.looks for problem in look.problems}
    for word in wanted.noticed:
        found = sorted(problem for problem in shown if word in problem)
        # Texts may hold numbers that change all the time.
        told = (found or sorted(shown))[:MOST_TOLD]
        yield Check("noticed", word, "; ".join(told) or "nothing", bool(found))
    if wanted.throttled is not None:
        hot = any(look.throttled for look in observed.looks)
        yield Check("throttled", str(wanted.throttled), str(hot), hot == wanted.throttled)


def _at_most(name: str, wanted: float, found: float | None) -> Check:
    ok = found is not None and found <= wanted
    return Check(name, f"≤ {wanted:g}", "never" if found is None else f"{found:g}", ok)


def _share(name: str, wanted: float, count: int, of: int) -> Check:
    share = count / of if of else 0.0
    return Check(name, f"≤ {wanted:.1%}", f"{share:.1%} ({count} of {of})", share <= wanted)


def _last(observed: Observed, device: str) -> DeviceSnapshot:
    return next(look for look in reversed(observed.looks) if look.device == device)
