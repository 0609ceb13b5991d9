"""uvicorn on a thread of its own, so that signals stay the service's business."""

from __future__ import annotations

import threading
import time

import uvicorn
from starlette.types import ASGIApp

from shared.errors import ProcessError
from shared.loopback import bind

READY_TIMEOUT_S = 10.0
# Live pages let go within a second; a caller that doesn't is cut off.
GOODBYE_S = 3
POLL_S = 0.01


class HttpServer:
    """Serves one ASGI app on one address.

    port   0 takes any free one; `url` says which
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """Raises ProcessError where the port is taken."""
        self._socket = bind(host, port, setting="api.port")
        self.host, self.port = host, int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            # Fixed, or what is installed beside us (flwr brings some) would decide.
            loop="asyncio",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GOODBYE_S,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Returns when requests are answered. Raises ProcessError where that never comes."""
        self._thread.start()
        give_up = time.monotonic() + READY_TIMEOUT_S
        pause = threading.Event()
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                raise ProcessError(
                    f"the API did not start on {self.url}", fix="see the log above for the reason"
                )
            pause.wait(POLL_S)

    def stop(self) -> None:
        """Answer what is under way, then close. May be called twice."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
