"""What the cloud wants comes in, every kind is stepped, what runs is reported."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edge.updates.base import Phase, UpdateProgress, Wanted
from edge.updates.disk import DurableFiles, replace
from edge.updates.hosts.remote_settings import NAME, WantedSettings
from edge.updates.state_machine import UpdateMachine
from shared.clock import Clock
from shared.errors import TransportError, WireError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, ignore, subscribe
from shared.wire import Desired, Reported, decode, encode
from shared.worker import OnDeath, Worker

log = get_logger("updates")

# In this order; only one kind at a time is between its switch and its end, so that what goes
# wrong is laid to the right one.
ORDER = ("image", "app", NAME, "model")
DECIDED: frozenset[Phase] = frozenset({"switching", "trial", "committing", "returning"})
SHORTEST_S = 0.05
LONGEST_S = 1.0
BUSY_REPORT_S = 5.0
MAX_REASON = 300
JOIN_S = 5.0


class Updater:
    """The device's side of its shadow document, on a thread of its own."""

    def __init__(
        self,
        transport: Transport,
        address: Address,
        *,
        boot: str,
        machines: Mapping[str, UpdateMachine],
        settings: WantedSettings,
        memory: DesiredMemory,
        facts: Callable[[], dict[str, float]],
        versions: Mapping[str, str],
        hold: Callable[[str], None],
        clock: Clock,
        report_s: float,
        on_death: OnDeath,
    ) -> None:
        """machines: by kind; hold: sends nothing while there is a reason, called on a change"""
        self._transport = transport
        self._commands = address.topic("command")
        self._reply = address.topic("reply")
        self._boot = boot
        self._machines = {kind: machines[kind] for kind in ORDER if kind in machines}
        self._settings = settings
        self._memory = memory
        self._facts = facts
        self._versions = dict(versions)
        self._hold = hold
        self._clock = clock
        self._report_s = report_s
        self._held = ""
        self._news: deque[Desired] = deque()
        self._reported: Reported | None = None
        self._reported_at = float("-inf")
        # A disk that can't be read, say; without this thread nothing could ever mend it.
        self._worker = Worker("updates", self.tick, on_death=on_death, retry_s=LONGEST_S)
        self._desired = memory.read()
        self._pass_on()

    def listen(self) -> None:
        subscribe(self._transport, self._commands, Desired, self._arrived, cleared=ignore)
        self._transport.on_connection(self._connection_changed)

    def tick(self) -> float:
        """Take up what came, go on with what is under way, report. Seconds until the next one."""
        self._take_up()
        wait = LONGEST_S
        decided = [m for m in self._machines.values() if m.progress.phase in DECIDED]
        for machine in decided[:1] or self._machines.values():
            wait = min(wait, machine.step())
            if machine.progress.phase in DECIDED:
                break
        self._report()
        return max(wait, SHORTEST_S)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Waits a little for what is under way: a kill in the middle would do no harm."""
        self._worker.stop(JOIN_S)

    def _take_up(self) -> None:
        came = [self._news.popleft() for _ in range(len(self._news))]
        if not came:
            return
        # A device that was away gets a pile of them; only the newest means anything.
        news = max(came, key=lambda desired: desired.serial)
        known = self._desired.serial if self._desired is not None else -1
        if news.serial <= known:
            if news.serial < known:
                log.info("desired_out_of_date", serial=news.serial, known=known)
            return
        self._memory.keep(news)
        self._desired = news
        log.info("desired", serial=news.serial, rollout=news.rollout, targets=news.targets)
        self._pass_on()

    def _pass_on(self) -> None:
        desired = self._desired
        if desired is None:
            return
        targets = dict(desired.targets)
        targets[NAME] = self._settings.want(desired.serial, desired.settings)
        for kind, machine in self._machines.items():
            machine.want(
                Wanted(
                    serial=desired.serial,
                    target=targets.get(kind, ""),
                    shadow_parts=desired.shadow_parts,
                    health_s=desired.health_s,
                    window=desired.window,
                    held=desired.held,
                    back=kind in desired.back,
                )
            )
        if desired.held != self._held:
            self._held = desired.held
            self._hold(desired.held)

    def _report(self) -> None:
        if not self._transport.connected:
            return
        now = self._clock.monotonic()
        report = self._present()
        changed = self._reported is None or report != self._reported
        every = self._report_s if report.phase == "idle" else min(BUSY_REPORT_S, self._report_s)
        if not changed and now - self._reported_at < every:
            return
        facts = {name: round(value, 3) for name, value in self._all_facts().items()}
        said = msgspec.structs.replace(report, at=self._clock.utc(), facts=facts)
        try:
            self._transport.publish(self._reply, encode(said), retain=True)
        except (TransportError, WireError) as error:
            log.debug("report_unsent", error=str(error))
            return
        self._reported, self._reported_at = report, now

    def _present(self) -> Reported:
        """Without what changes by itself: time and facts."""
        found = {kind: machine.progress for kind, machine in self._machines.items()}
        busy = next((one for one in found.values() if one.phase != "idle"), None)
        failed = {path: why for one in found.values() for path, why in one.failed.items()}
        return Reported(
            serial=self._desired.serial if self._desired else 0,
            boot=self._boot,
            at=0.0,
            running={kind: one.running for kind, one in found.items()},
            counters={kind: one.counter for kind, one in found.items()},
            phase=busy.phase if busy else "idle",
            target=busy.target if busy else "",
            failed={path: why[:MAX_REASON] for path, why in failed.items()},
            problem=self._problem(found)[:MAX_REASON],
            versions=self._versions | {k: one.version for k, one in found.items() if one.version},
        )

    def _problem(self, found: Mapping[str, UpdateProgress]) -> str:
        unknown = [
            kind for kind in (self._desired.targets if self._desired else {}) if kind not in found
        ]
        if unknown:
            return f"this device has no slots for {', '.join(sorted(unknown))}"
        return next((one.problem for one in found.values() if one.problem), "")

    def _all_facts(self) -> dict[str, float]:
        facts = self._facts()
        for machine in self._machines.values():
            facts.update(machine.figures)
        return facts

    def _arrived(self, arrival: Arrival[Desired]) -> None:
        self._news.append(arrival.message)
        self._worker.wake()

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        if connected:
            self._reported = None
            self._worker.wake()


class DesiredMemory:
    """What the cloud wanted last, for a start without a broker."""

    def __init__(self, disk: DurableFiles, path: Path) -> None:
        self._disk = disk
        self._path = path

    def read(self) -> Desired | None:
        try:
            return decode(self._disk.read(self._path), Desired)[0]
        except FileNotFoundError:
            return None
        except WireError as error:
            log.warning("desired_damaged", error=str(error))
            return None

    def keep(self, desired: Desired) -> None:
        replace(self._disk, self._path, encode(desired))
