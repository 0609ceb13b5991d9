"""The gateway for devices: HTTPS with the fleet's certificate, for enrolment and releases."""

from __future__ import annotations

import ssl
from asyncio import Transport
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from fleet.configuration.settings import GatewaySettings
from fleet.identity.admission import RefusalLimiter
from fleet.identity.authority import AuthorityFiles
from fleet.identity.est import est_routes, problem
from fleet.identity.registrar import Registrar
from shared.clock import Clock
from shared.errors import IdentityError
from shared.log import get_logger
from shared.loopback import bind
from shared.web.http_admission import GuardedProtocol, RequestLimits
from shared.web.http_worker import HttpWorker
from shared.worker import OnDeath

log = get_logger("gateway")

GOODBYE_S = 3
IDLE_S = 30
MAX_CONNECTIONS = 512
MAX_HEADERS = 16 * 1024
# X509_V_FLAG_NO_CHECK_TIME: an expired certificate is refused in words, not by a broken handshake.
NO_CHECK_TIME = 0x200000


class DeviceGateway:
    """Serves devices on a thread of its own."""

    def __init__(
        self,
        settings: GatewaySettings,
        registrar: Registrar,
        repository: Path,
        clock: Clock,
        on_death: OnDeath,
    ) -> None:
        """repository: the folder with `metadata` and `targets`, which may come later."""
        self._settings = settings
        self._files = registrar.authority.files
        self._app = gateway_app(registrar, repository, clock)
        self._context: ssl.SSLContext | None = None
        self._on_death = on_death
        self._worker: HttpWorker | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._worker.port if self._worker else self._settings.port

    def start(self) -> None:
        """Returns when devices are served.

        Raises IdentityError for unusable certificates, ProcessError where the port is taken.
        """
        settings = self._settings
        context = self._context = gateway_context(self._files)
        sock = bind(settings.host, settings.port, setting="fleet.gateway")
        limits = RequestLimits(head_s=settings.patience_s)
        config = _config(self._app, context)
        self._worker = HttpWorker(
            "gateway", config, sock, self._on_death, limits=limits, protocol=PeerProtocol
        )
        self._worker.start()
        log.info("gateway_open", host=settings.host, port=self.port)

    def reload(self) -> None:
        """Show the server's certificate as it is now on disk. Raises IdentityError."""
        if self._context is not None:
            _show_server(self._context, self._files)

    def stop(self) -> None:
        """Answer what is under way, then close."""
        if self._worker is not None:
            self._worker.stop()


class PeerProtocol(GuardedProtocol):
    """Puts the client's certificate, DER or None, into the request's state."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        shown = secured.getpeercert(binary_form=True) if secured is not None else None
        self.app_state = {**self.app_state, "peer_certificate": shown}


def gateway_app(registrar: Registrar, repository: Path, clock: Clock) -> Starlette:
    """The app behind the gateway."""
    routes: list[BaseRoute] = [*est_routes(registrar, RefusalLimiter(clock))]
    for kind in ("metadata", "targets"):
        # The repository may be made after the start.
        files = StaticFiles(directory=repository / kind, check_dir=False)
        routes.append(Mount(f"/releases/{kind}", files))
    return Starlette(routes=routes, exception_handlers={HTTPException: _http, Exception: _bug})


def gateway_context(files: AuthorityFiles) -> ssl.SSLContext:
    """Shows the server's certificate; takes a device's where it shows one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show_server(context, files)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


def _show_server(context: ssl.SSLContext, files: AuthorityFiles) -> None:
    try:
        context.load_cert_chain(files.server_certificate, files.server_key)
        context.load_verify_locations(files.certificate)
    except (OSError, ssl.SSLError) as error:
        raise IdentityError(
            f"the server's certificate in {files.folder} can't be used ({error})",
            fix="check that server/ and authority/ are from the same `splitsight fleet init`",
        ) from error


def _config(app: Starlette, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        ssl_context_factory=lambda _config, _default: context,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GOODBYE_S,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )


def _http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "failed"
    return problem(
        status, f"{request.method} {request.url.path}: {detail}", "see docs/guides/identity.md"
    )


def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("gateway_failed", path=request.url.path, error=repr(error))
    return problem(500, "this is a mistake in splitsight", "please report it, with the log")
