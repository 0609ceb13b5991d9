"""The embedded broker: a child process on loopback that is restarted when it dies."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from cloud.broker.probe import ask
from cloud.broker.programs import choose_program
from cloud.broker.tls_listener import SecureListener
from cloud.configuration.settings import BrokerKind, SecureListenerSettings
from shared import parent_guard
from shared.errors import ProcessError, SettingsError, SplitsightError
from shared.log import get_logger
from shared.loopback import is_loopback, require_free, shown
from shared.worker import Worker

log = get_logger("broker")

READY_TIMEOUT_S = 10.0
POLL_S = 0.02
RESTART_PAUSE_S = 0.2
STOP_TIMEOUT_S = 5.0
PROBE_EVERY_S = 5.0
PROBE_TIMEOUT_S = 3.0
# A machine may stand still for a moment itself.
SILENT_TIMES = 2


class EmbeddedBroker:
    """An MQTT 5 broker of one kind on one loopback address.

    It ends with this process, however that ends, and is started again when it dies alone.
    Raises SettingsError for an address that other machines can reach.
    """

    def __init__(
        self,
        kind: BrokerKind = "auto",
        host: str = "127.0.0.1",
        port: int = 1883,
        secure: SecureListenerSettings | None = None,
        *,
        probe_every_s: float = PROBE_EVERY_S,
    ) -> None:
        """secure: a second listener, which other machines may reach with a certificate."""
        if not is_loopback(host):
            raise SettingsError(
                f"the embedded broker would listen on {host}, open to everyone",
                fix="use 127.0.0.1, or run a broker with certificates and set "
                "embedded_broker: {enabled: false}",
            )
        self.host, self.port = host, port
        self._kind = kind
        self._probe_every_s = probe_every_s
        self._probed_at = 0.0
        self._silent = 0
        self._refuses = False
        self._stood_still = 0
        self._secure = SecureListener(secure) if secure else None
        self._child: subprocess.Popen[bytes] | None = None
        self._answered = threading.Event()
        self._failure: BaseException | None = None
        self._keeper = Worker(
            "broker", self._keep, on_death=self._died, unblock=self._ask_child_to_end
        )

    @property
    def problems(self) -> list[str]:
        """For people."""
        found = []
        if self._refuses:
            found.append(
                "The embedded broker refuses new connections: too many are open. See who connects, "
                "or run a broker of its own."
            )
        if self._silent:
            found.append("The embedded broker does not answer; it is restarted if it goes on so.")
        return found

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def start(self) -> Self:
        """Start the child and wait until it accepts connections.

        Raises ProcessError where the kind is not installed, the port is taken, or it never
        becomes ready; SettingsError where it can't be secured.
        """
        require_free(self.host, self.port, setting="broker.port")
        if self._secure is not None:
            self._secure.check()
        # The kernel ends a child with the thread that started it, so one thread starts them all.
        self._keeper.start()
        self._answered.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """End the child. May be called twice."""
        self._keeper.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep(self) -> None:
        with tempfile.TemporaryDirectory(prefix="splitsight-broker-") as folder:
            try:
                self._start_once(Path(folder))
            except SplitsightError as error:
                self._died("broker", error)
                return
            self._answered.set()
            while self._child_ended():
                log.warning("broker_died", host=self.host, port=self.port)
                self._keeper.stopping.wait(RESTART_PAUSE_S)
                try:
                    self._start_once(Path(folder))
                except ProcessError as error:
                    log.warning(
                        "broker_not_restarted", reason=str(error), next_try_s=RESTART_PAUSE_S
                    )

    def _died(self, _name: str, error: BaseException) -> None:
        """The child has ended with the thread: devices and health find no broker."""
        self._failure = error
        self._answered.set()

    def _ask_child_to_end(self) -> None:
        child = self._child
        if child is not None:
            child.terminate()

    def _child_ended(self) -> bool:
        """Wait for the child's end; whether it ended by itself."""
        if self._child is not None:
            while not self._keeper.stopping.is_set():
                try:
                    self._child.wait(timeout=1.0)
                    break
                except subprocess.TimeoutExpired:
                    self._enforce()
                    self._probe()
        if self._keeper.stopping.is_set():
            self._end()
            return False
        return True

    def _enforce(self) -> None:
        """Put out whom the list of revoked certificates names, where it has changed."""
        if self._secure is None or self._child is None:
            return
        if self._secure.changed():
            self._child.send_signal(signal.SIGHUP)
        self._secure.end_sessions(self.host, self.port, self._serves)

    def _serves(self) -> bool:
        return self.pid is not None and not self._keeper.stopping.is_set()

    def _probe(self) -> None:
        """End a child that lives and does not serve: it is started again as one that died."""
        now = time.monotonic()
        if self._child is None or now - self._probed_at < self._probe_every_s:
            return
        answer = ask(self.host, self.port, PROBE_TIMEOUT_S)
        self._probed_at = time.monotonic()
        if answer == "refuses" and not self._refuses:
            log.warning("broker_refuses", host=self.host, port=self.port)
        self._refuses = answer == "refuses"
        self._silent = self._silent + 1 if answer == "silent" else 0
        if self._silent < SILENT_TIMES:
            return
        self._silent = 0
        self._stood_still += 1
        log.error(
            "broker_stands_still", pid=self.pid, times=self._stood_still, fix="it is restarted"
        )
        # One that stands still does not hear a polite word.
        self._child.kill()

    def _start_once(self, folder: Path) -> None:
        program = choose_program(self._kind)
        command = program.command(self.host, self.port, folder, self._secure)
        complaint = folder / "stderr"
        with complaint.open("wb") as stderr:
            # A session of its own: Ctrl-C is for us, and we end the child when all is stored.
            self._child = subprocess.Popen(
                parent_guard.guarded(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self._wait_until_ready(program.name, complaint)
        log.info("broker_started", kind=program.name, host=self.host, port=self.port, pid=self.pid)

    def _wait_until_ready(self, name: str, complaint: Path) -> None:
        give_up = time.monotonic() + READY_TIMEOUT_S
        while not self._keeper.stopping.is_set():
            if self.pid is None or time.monotonic() > give_up:
                self._end()
                said = complaint.read_text(errors="replace").strip()[-300:] or "nothing"
                where = shown(self.host, self.port)
                raise ProcessError(
                    f"{name} did not start to listen on {where}; it said: {said}",
                    fix="choose the other kind in embedded_broker.kind, or another broker.port",
                )
            try:
                socket.create_connection((self.host, self.port), timeout=0.5).close()
            except OSError:
                self._keeper.stopping.wait(POLL_S)
            else:
                return

    def _end(self) -> None:
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
