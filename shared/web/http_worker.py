"""uvicorn on a thread of its own, so that signals stay the service's business."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn

from shared.errors import ProcessError
from shared.web.http_admission import (
    AdmittingLoop,
    GuardedProtocol,
    RequestLimits,
    protocol_with,
)
from shared.worker import OnDeath, Worker

READY_TIMEOUT_S = 10.0
POLL_S = 0.01


class HttpWorker:
    """Serves on one socket, which is bound and will be closed."""

    def __init__(
        self,
        name: str,
        config: uvicorn.Config,
        sock: socket.socket,
        on_death: OnDeath,
        *,
        limits: RequestLimits | None = None,
        protocol: type[GuardedProtocol] = GuardedProtocol,
    ) -> None:
        """limits: of connections that ask nothing

        protocol   of a connection; that and the loop of the config itself give way
        """
        config.http = protocol_with(limits or RequestLimits(), protocol)
        config.loop = f"{AdmittingLoop.__module__}:{AdmittingLoop.__name__}"
        self._server = uvicorn.Server(config)
        self._socket = sock
        self._worker = Worker(name, lambda: self._server.run(sockets=[sock]), on_death=on_death)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Returns when requests are answered. Raises ProcessError where that never comes."""
        self._worker.start()
        give_up = time.monotonic() + READY_TIMEOUT_S
        pause = threading.Event()
        while not self._server.started:
            if not self._worker.alive or time.monotonic() > give_up:
                raise ProcessError(
                    f"the thread {self._worker.name} did not start to serve port {self.port}",
                    fix="see the log above for the reason",
                )
            pause.wait(POLL_S)

    def stop(self) -> None:
        """Answer what is under way, then close. May be called twice."""
        self._server.should_exit = True
        self._worker.stop()
        self._socket.close()
