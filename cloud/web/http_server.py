"""The API and its pages on one address."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from cloud.web.http_compression import CompressedApp
from cloud.web.prefix import PrefixedApp
from cloud.web.proxy import ProxiedApp
from shared.loopback import bind, shown
from shared.web.http_worker import HttpWorker
from shared.worker import OnDeath

# Live pages let go within a second; a caller that doesn't is cut off.
GOODBYE_S = 3


class HttpServer:
    """Serves one ASGI app on one address.

    port   0 takes any free one; `url` says which
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        on_death: OnDeath,
        *,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[str] = (),
        root_path: str = "",
    ) -> None:
        """Raises ProcessError where the port is taken.

        tls       None: plain HTTP
        proxies, root_path   as in ProxiedApp and PrefixedApp
        """
        config = uvicorn.Config(
            # Addresses are written into pages before these are compressed.
            ProxiedApp(CompressedApp(PrefixedApp(app, root_path)), proxies),
            # Ours knows the host as well, and follows no variable of the environment.
            proxy_headers=False,
            # Fixed, or what is installed beside us (flwr brings some) would decide.
            loop="asyncio",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GOODBYE_S,
            lifespan="off",
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._scheme = "http" if tls is None else "https"
        self._worker = HttpWorker("http", config, bind(host, port, setting="api.port"), on_death)
        self.host, self.port = host, self._worker.port

    @property
    def url(self) -> str:
        return f"{self._scheme}://{shown(self.host, self.port)}"

    def start(self) -> None:
        """Returns when requests are answered. Raises ProcessError where that never comes."""
        self._worker.start()

    def stop(self) -> None:
        """Answer what is under way, then close. May be called twice."""
        self._worker.stop()
