"""A real `splitsight cloud serve`, and a device that talks to it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, TypeVar

from shared import wire
from shared.bundles.bundle import Bundle
from shared.errors import TransportError
from shared.loopback import free_port
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
TRIES = 10
T = TypeVar("T")


class Server:
    """The process; `url` and `events` are from its log. `path` is a folder of further packages."""

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        kind: str = "auto",
        *,
        path: Path | None = None,
        more: str = "",
        broker_port: int = 0,
        also: Sequence[Bundle] = (),
    ) -> None:
        """broker_port: of a broker that runs already; also: further bundles"""
        self.folder = folder
        self.bundle = bundle
        self.broker_port = broker_port or free_port()
        embedded = "enabled: false" if broker_port else f"kind: {kind}"
        bundles = ", ".join(str(one.path) for one in (bundle, *also))
        config = folder / "cloud.yaml"
        config.write_text(
            f"bundles: [{bundles}]\n"
            f"broker: {{port: {self.broker_port}}}\n"
            f"embedded_broker: {{{embedded}}}\n"
            "runtime: {name: onnx, threads: 1}\n"
            f"{more or 'api: {port: 0}'}\n"
        )
        code = "from shared.commands.root import main; main()"
        command = [sys.executable, "-c", code, "cloud", "serve", "--config", str(config)]
        environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.url = str(self.wait_for("ready")["address"])

    def wait_for(self, event: str) -> dict[str, object]:
        """The next log entry of that name."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if line.startswith("{"):
                entry: dict[str, object] = json.loads(line)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"it ended without {event}:\n" + "".join(seen))

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in rest, rest
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        elif self.process.stderr is not None:
            self.process.stderr.close()


class Brokered(Protocol):
    """A cloud whose broker listens on this machine."""

    broker_port: int


class Device:
    """What an edge agent does on the wire, by hand."""

    def __init__(self, server: Brokered, address: Address) -> None:
        self.address = address
        self.verdicts: queue.Queue[wire.CloudVerdict] = queue.Queue()
        self.receipts: queue.Queue[wire.Receipt] = queue.Queue()
        settings = BrokerSettings.model_validate({"port": server.broker_port})
        self.transport = MqttTransport(settings, address.device)
        self.transport.subscribe(address.topic("verdict"), self._verdict)
        self.transport.subscribe(address.topic("receipt"), self._receipt)
        self.transport.start()
        assert self.transport.wait_until_connected(PATIENCE_S)

    def say(self, state: wire.StateMessage) -> None:
        self.transport.publish(self.address.topic("state"), wire.encode(state), retain=True)

    def escalate(self, payload: bytes) -> wire.CloudVerdict:
        """Send until it is answered, as devices do."""
        asked = wire.decode(payload, wire.Escalation)[0].sequence
        return self._until_answered(
            "escalation", payload, self.verdicts, lambda answer: answer.sequence == asked
        )

    def escalate_once(self, payload: bytes) -> wire.CloudVerdict:
        """The answer to what is sent only once."""
        self.transport.publish(self.address.topic("escalation"), payload)
        return self.verdicts.get(timeout=PATIENCE_S)

    def report(self, payload: bytes) -> wire.Receipt:
        asked = wire.decode(payload, wire.Inspections)[0].batch
        return self._until_answered(
            "inspections", payload, self.receipts, lambda answer: answer.batch == asked
        )

    def stop(self) -> None:
        self.transport.stop()

    def _until_answered(
        self,
        channel: Literal["escalation", "inspections"],
        payload: bytes,
        answers: queue.Queue[T],
        is_it: Callable[[T], bool],
    ) -> T:
        for _ in range(TRIES):
            with contextlib.suppress(TransportError):
                self.transport.publish(self.address.topic(channel), payload)
            with contextlib.suppress(queue.Empty):
                # What was sent twice is answered twice, later than what is asked for now.
                while not is_it(answer := answers.get(timeout=PATIENCE_S / TRIES)):
                    pass
                return answer
        raise AssertionError(f"no answer to {channel} in {PATIENCE_S} s")

    def _verdict(self, delivery: Delivery) -> None:
        self.verdicts.put(wire.decode(delivery.payload, wire.CloudVerdict)[0])

    def _receipt(self, delivery: Delivery) -> None:
        self.receipts.put(wire.decode(delivery.payload, wire.Receipt)[0])
