"""Devices that talk to a conductor over a broker in memory, as their agents would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fleet.rollouts.controller import RolloutController
from fleet.rollouts.plan import Ring, RolloutPlan
from fleet.rollouts.shadows import Shadows
from fleet.storage.database import NAME, FleetDatabase
from shared.clock import ManualClock
from shared.errors import ReleaseError
from shared.plugins.services import ServedTail
from shared.releases import ReleaseFacts
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import Desired, Reported, StateMessage, decode, encode
from shared.worker import DeadWorkers
from tests.support.databases import place_migrated

OLD, NEW = "models/m/1.zip", "models/m/2.zip"
QUICK = RolloutPlan(
    rings=(
        Ring(name="canary", devices=1),
        Ring(name="25 %", share=0.25),
        Ring(name="100 %", share=1.0),
    )
)


class Tails:
    """A rack that serves what it is told."""

    def __init__(self, *pairs: str) -> None:
        self.pairs = list(pairs)
        self.behind: list[str] = []

    def served(self) -> Sequence[ServedTail]:
        return [ServedTail(pair, "bundle") for pair in self.pairs]

    def serve(self, path: Path) -> ServedTail:
        self.pairs.append(path.name)
        return ServedTail(path.name, "bundle")

    def drop(self, pair: str) -> None:
        self.pairs.remove(pair)

    def lacking(self, pair: str) -> Sequence[str]:
        return [f"worker {name} lacks {pair}" for name in self.behind]


def releases(*hardware: str) -> Callable[[str], ReleaseFacts]:
    """Every version of models/m; those that are asked for under another name are not there."""

    def facts(path: str) -> ReleaseFacts:
        kind, name, file = path.split("/")
        if (kind, name) != ("models", "m"):
            raise ReleaseError(f"{path} is not a published release", fix="publish it")
        version = file.removesuffix(".zip")
        return ReleaseFacts(
            kind="model",
            name=name,
            version=version,
            counter=int(version),
            hardware=hardware or ("any",),
            pair=f"pair-{version}",
        )

    return facts


@dataclass
class Device:
    """One device: says what it is told to say, hears what is wanted of it."""

    broker: MemoryBroker
    clock: ManualClock
    address: Address
    hardware: str = "x86-64"
    boot: str = "boot-1"
    running: dict[str, str] = field(default_factory=lambda: {"model": OLD})
    failed: dict[str, str] = field(default_factory=dict)
    wanted: Desired | None = None
    obeys: bool = True

    def __post_init__(self) -> None:
        self.transport = self.broker.transport()
        self.transport.subscribe(self.address.topic("command"), self._on_command)

    def start(self) -> None:
        self.transport.start()
        self.say_state("online")
        self.report()

    def say_state(self, word: str) -> None:
        state = msgspec.convert(
            {"state": word, "boot": self.boot, "at": self.clock.utc()}, StateMessage, strict=False
        )
        self.transport.publish(self.address.topic("state"), encode(state), retain=True)

    def report(self, phase: str = "idle", target: str = "", **facts: float) -> None:
        said = Reported(
            serial=self.wanted.serial if self.wanted else 0,
            boot=self.boot,
            at=self.clock.utc(),
            running=dict(self.running),
            phase=phase,
            target=target,
            failed=dict(self.failed),
            facts=facts,
            versions={"hardware": self.hardware},
        )
        self.transport.publish(self.address.topic("reply"), encode(said), retain=True)

    def do(self) -> None:
        """What is wanted is done at once, and said."""
        if self.wanted is not None and self.transport.connected:
            self.running |= self.wanted.targets
            self.failed = {}
            self.report()

    def fail(self, why: str) -> None:
        if self.wanted is not None:
            self.failed = dict.fromkeys(self.wanted.targets.values(), why)
            self.report()

    def _on_command(self, delivery: Delivery) -> None:
        desired, _ = decode(delivery.payload, Desired)
        if self.wanted is None or desired.serial > self.wanted.serial:
            self.wanted = desired


class Plant:
    """A cloud's conductor and its devices; the cloud can be killed and started again."""

    def __init__(
        self, folder: Path, count: int, *, hardware: Sequence[str] = (), lines: int = 1
    ) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.broker = MemoryBroker()
        self.tails = Tails("pair-1", "pair-2", "pair-3")
        self.releases = releases(*hardware)
        self.put_out: dict[str, str] = {}
        self.people = 1
        self.devices = {
            f"box-{n}": Device(
                self.broker, self.clock, Address("plant", f"line-{n % lines + 1}", f"box-{n}")
            )
            for n in range(count)
        }
        self.conductor = self.open()

    def open(self) -> RolloutController:
        """A cloud that starts: with the database as it was left."""
        self.transport = self.broker.transport()
        place_migrated(FleetDatabase, self.folder / NAME)
        database = FleetDatabase.in_folder(self.folder)
        shadows = Shadows(database, self.transport, self.clock)
        self.conductor = RolloutController(
            database=database,
            shadows=shadows,
            releases=self.releases,
            tails=self.tails,
            clock=self.clock,
            put_out=self._put_out,
            on_death=DeadWorkers(),
            people=self.people,
        )
        self.conductor.start()
        self.transport.start()
        return self.conductor

    def kill(self) -> None:
        """The cloud's process is gone, with all that it had not stored."""
        self.broker.clients.remove(self.transport)
        self.transport.connected = False

    def start_devices(self) -> None:
        for device in self.devices.values():
            device.start()
        self.conductor.tick()

    def round(self, after_s: float = 1.0) -> None:
        """Time goes by, devices do what is wanted, and the cloud looks."""
        self.clock.advance(after_s)
        for device in self.devices.values():
            if device.obeys:
                device.do()
        self.conductor.tick()

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.round()

    def _put_out(self) -> Mapping[str, str]:
        return self.put_out
