"""A grid within this process: devices are ClientApps, each with a thread of its own.

For tests, the simulator and experiments.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fleet.rounds.grids.base_grid import OwnGrid
from shared.clock import Clock, SystemClock
from shared.errors import said
from shared.federation.protocol import FAILED, node_of
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("rounds")

DEFAULT_TIMEOUT_S = 3600.0


class InProcessGrid(OwnGrid):
    """Calls each device's app in the order of its messages, one after the other.

    apps      by device name
    at_once   devices that may work at the same time; 0: all. One that stalls holds its place
    """

    def __init__(
        self, apps: Mapping[str, ClientApp], *, at_once: int = 0, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._places = threading.BoundedSemaphore(at_once or max(1, len(apps)))
        self._changed = threading.Condition()
        self._replies: dict[str, Message] = {}
        self._names = {node_of(name): name for name in apps}
        self._devices = {node_of(name): _Device(node_of(name), app) for name, app in apps.items()}

    def get_node_ids(self) -> Iterable[int]:
        return sorted(self._devices)

    def name_of(self, node: int) -> str:
        return self._names.get(node, "")

    def _bring(self, message: Message) -> None:
        self._devices[message.metadata.dst_node_id].give(message, self._work)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        with self._changed:
            return [self._replies.pop(id_) for id_ in message_ids if id_ in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """What has not come after `timeout` seconds can still be pulled later."""
        ids = list(self.push_messages(messages))
        wait_s = DEFAULT_TIMEOUT_S if timeout is None else timeout
        until = self._clock.monotonic() + wait_s
        with self._changed:
            while not all(id_ in self._replies for id_ in ids):
                left = until - self._clock.monotonic()
                if left <= 0:
                    break
                # A clock that a test moves by hand wakes nobody.
                self._changed.wait(min(left, 0.05))
        return self.pull_messages(ids)

    def _work(self, device: _Device, message: Message) -> None:
        with self._places:
            reply = device.answer(message)
        self._stamped(reply, device.node)
        with self._changed:
            self._replies[message.metadata.message_id] = reply
            self._changed.notify_all()


class _Device:
    """A ClientApp and the thread that it works in."""

    def __init__(self, node: int, app: ClientApp) -> None:
        self.node = node
        self._app = app
        self._context = Context(0, node, {}, RecordDict(), {})
        self._waiting: queue.SimpleQueue[tuple[Message, _Work]] = queue.SimpleQueue()
        self._worker: Worker | None = None

    def give(self, message: Message, work: _Work) -> None:
        self._waiting.put((message, work))
        if self._worker is None or not self._worker.alive:
            # A device that stalls for ever does not keep the process.
            self._worker = Worker(f"device-{self.node}", self._work_on, on_death=_device_ended)
            self._worker.start()

    def answer(self, message: Message) -> Message:
        try:
            return self._app(message, self._context)
        except BaseException as error:  # noqa: BLE001 - as Flower's own nodes: it answers with it
            log.warning("device_failed", error=said(error))
            return Message(Error(FAILED, said(error)), reply_to=message)

    def _work_on(self) -> float:
        message, work = self._waiting.get()
        work(self, message)
        return 0.0


def _device_ended(name: str, error: BaseException) -> None:
    """Its next message starts it again."""
    log.error("device_ended", device=name, error=said(error))


_Work = Callable[[_Device, Message], None]
