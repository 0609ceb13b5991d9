"""A broker as a process of its own, that can be killed and started again."""

from __future__ import annotations

from pathlib import Path

from cloud.broker.probe import ask
from cloud.broker.programs import choose_program
from hardware_sim.processes.child import Child
from hardware_sim.processes.readiness import await_ready

ASK_S = 0.5


class BrokerProcess(Child):
    """The first kind that is installed, on loopback. Raises ProcessError where none is."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._address = (host, port)
        super().__init__(
            "the broker", choose_program("auto").command(host, port, folder), folder / "broker.log"
        )

    def start(self) -> None:
        """Returns once it serves. Raises ProcessError where it never does."""
        super().start()
        await_ready(self, lambda: ask(*self._address, ASK_S) == "serves")
