"""A broker as a process of its own, that can be killed and started again."""

from __future__ import annotations

import socket
from pathlib import Path

from cloud.broker.programs import choose_program
from hardware_sim.processes.child import Child
from hardware_sim.processes.readiness import await_ready


class BrokerProcess(Child):
    """The first kind that is installed, on loopback. Raises ProcessError where none is."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._address = (host, port)
        super().__init__(
            "the broker", choose_program("auto").command(host, port, folder), folder / "broker.log"
        )

    def start(self) -> None:
        """Returns once it accepts connections. Raises ProcessError where it never does."""
        super().start()
        await_ready(self, self._accepts)

    def _accepts(self) -> bool:
        try:
            socket.create_connection(self._address, timeout=0.5).close()
        except OSError:
            return False
        return True
