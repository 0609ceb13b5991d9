"""Devices and a coordinator around a broker in memory; nothing moves unless the test moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.clientapp import ClientApp

from edge.learner.server import Served
from edge.learning.admission import LearningLimits
from edge.learning.learner_process import Gone, Heard, Task, TaskDone
from edge.learning.rounds import Rounds
from edge.learning.throttle import Throttle
from edge.monitoring.health import BoxHealth
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.grids.mqtt import MqttGrid
from shared.clock import ManualClock
from shared.contracts import DeviceState
from shared.errors import TransportError
from shared.federation.protocol import LabelCounts, node_of
from shared.topics import Address
from shared.transport.base import Will
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.wire import StateMessage, encode

MIB = 1 << 20


class DirectLearner:
    """A learner in this process: does a task when `step` is called, or never."""

    def __init__(self, app: ClientApp, name: str, heard: Callable[[Heard], None]) -> None:
        self._served = Served(lambda _base: app, lambda: None, node_of(name))
        self._heard = heard
        self.tasks: list[Task] = []
        self.said: list[str] = []
        self.memory = 100 * MIB
        self.ended = False

    def give(self, task: Task) -> None:
        self.tasks.append(task)

    def pause(self) -> None:
        self.said.append("pause")

    def go_on(self) -> None:
        self.said.append("go on")

    def memory_bytes(self) -> int:
        return 0 if self.ended else self.memory

    def end(self) -> None:
        self.ended = True

    def step(self) -> bool:
        if not self.tasks or self.ended:
            return False
        self._heard(self._served.do(self.tasks.pop(0)))
        return True

    def crash(self) -> None:
        self.ended = True
        self._heard(Gone("SIGSEGV"))

    def fail(self, problem: str) -> None:
        self._heard(TaskDone(self.tasks.pop(0).id, problem=problem))


class Device:
    """An agent's part in rounds. `idle`: its learner does nothing until the test says so."""

    def __init__(
        self, name: str, app: ClientApp, broker: MemoryBroker, folder: Path, clock: ManualClock
    ) -> None:
        self.name = name
        self.address = Address("plant", "line", name)
        self.transport: MemoryTransport = broker.transport()
        self.health = BoxHealth()
        self.idle = False
        self.learners: list[DirectLearner] = []
        self.labelled = 40
        self.free = 4096 * MIB
        self.missing: Exception | None = None
        self._broker = broker
        self._app = app
        self._folder = folder / name
        self._clock = clock
        self.enabled = True
        self.rounds = self._rounds()

    def start(self, boot: str = "b1") -> None:
        self.boot = boot
        self.transport.start(
            Will(self.address.topic("state"), encode(StateMessage("offline", boot, 0)))
        )
        self.tell("online")

    def tell(self, state: DeviceState) -> None:
        payload = encode(StateMessage(state, self.boot, self._clock.utc()))
        self.transport.publish(self.address.topic("state"), payload, retain=True)

    def killed(self) -> None:
        """As SIGKILL: the broker publishes the will, the agent forgets what is in memory."""
        self._broker.drop(self.transport)
        for learner in self.learners:
            learner.ended = True

    def again(self, boot: str = "b2") -> None:
        self.transport = self._broker.transport()
        self.rounds = self._rounds()
        self.start(boot)

    def step(self) -> bool:
        self.rounds.work()
        worked = not self.idle and any(learner.step() for learner in self.learners)
        self.rounds.work()
        return worked

    @property
    def learner(self) -> DirectLearner:
        return self.learners[-1]

    def _rounds(self) -> Rounds:
        rounds = Rounds(
            self.transport,
            self.address,
            LearningLimits(
                enabled=self.enabled,
                memory_bytes=1024 * MIB,
                min_labels=4,
                folder=self._folder,
            ),
            count=self._count,
            open=self._open,
            ready=self._ready,
            throttle=Throttle(self.health, self._clock),
            clock=self._clock,
            health=self.health,
            free_memory=lambda: self.free,
        )
        rounds.listen()
        return rounds

    def _ready(self) -> None:
        if self.missing is not None:
            raise self.missing

    def _count(self, base: str) -> LabelCounts:
        half = self.labelled // 2
        return LabelCounts(self.name, base, {"d": half}, {"d": self.labelled - half}, 3)

    def _open(self, heard: Callable[[Heard], None]) -> DirectLearner:
        self.learners.append(DirectLearner(self._app, self.name, heard))
        return self.learners[-1]


class Plant:
    """A grid and its devices. `messaging` moves everything while it waits."""

    def __init__(self, folder: Path, apps: dict[str, ClientApp], base: Path | None = None) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker()
        self.devices = {
            name: Device(name, app, self.broker, folder / "devices", self.clock)
            for name, app in apps.items()
        }
        for device in self.devices.values():
            device.start()
        self.base = base
        self.grid = self.open_grid()

    def open_grid(self) -> MqttGrid:
        self.transport = self.broker.transport()
        grid = MqttGrid(self.transport, base=self.base, clock=self.clock)
        # Its thread would race with the test, and nothing needs to settle in memory.
        grid._worker.start = lambda: None  # type: ignore[method-assign]
        grid._settled = True
        grid.open()
        grid.work()
        return grid

    def messaging(self) -> GridMessaging:
        return GridMessaging(self.grid, clock=self.clock, sleep=lambda _seconds: self.move())

    def send(self, messages: Iterable[Message], timeout: float = 60.0) -> list[Message]:
        return self.messaging()(messages, timeout=timeout)

    def move(self, seconds: float = 0.1) -> None:
        """Let everything happen that is on its way, then let some time pass."""
        for _ in range(400):
            before = len(self.broker.published)
            self.grid.work()
            worked = [device.step() for device in self.devices.values()]
            if len(self.broker.published) == before and not any(worked):
                break
        self.clock.advance(seconds)

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.move(0.5)

    def cut(self, transport: MemoryTransport, what: str = "") -> None:
        """The connection stands, and nothing gets out, or no parcel of one kind."""
        send = MemoryTransport.publish

        def refuse(topic: str, payload: bytes, **options: Any) -> None:
            if not what or what.encode() in payload[:400]:
                raise TransportError("cut")
            send(transport, topic, payload, **options)

        transport.publish = refuse  # type: ignore[method-assign]

    def mend(self, transport: MemoryTransport) -> None:
        """What was cut gets through again."""
        del transport.publish
