"""Looking at a simulated device, and acting on it, from another process: a Unix socket.

A request is one line of JSON, and so is its answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

import msgspec

from hardware_sim.compute.device import ComputeState, SimulatedDevice
from shared.errors import ProcessError, SplitsightError
from shared.log import get_logger

log = get_logger("compute")

SOCKET = "SPLITSIGHT_COMPUTE_SOCKET"
LINE_BYTES = 4096
TIMEOUT_S = 5.0
# sockaddr_un has room for so many, and a final zero.
PATH_BYTES = 107
MOST_C = 200.0


class StateRequest(
    msgspec.Struct, frozen=True, tag="state", tag_field="do", forbid_unknown_fields=True
):
    """How is it?"""


class Reset(msgspec.Struct, frozen=True, tag="reset", tag_field="do", forbid_unknown_fields=True):
    """Reset the driver, for as long as the profile says or so many seconds."""

    for_s: float | None = None


class Ambient(
    msgspec.Struct, frozen=True, tag="ambient", tag_field="do", forbid_unknown_fields=True
):
    """The air has this temperature now."""

    celsius: float


Request = StateRequest | Reset | Ambient


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state after the request, or what was wrong with it."""

    state: ComputeState | None = None
    error: str = ""


class ControlServer:
    """Serves one device on a socket's path, from a thread that ends with the process."""

    def __init__(self, device: SimulatedDevice, path: Path) -> None:
        """Listen. A socket that an earlier process left is replaced. Raises ProcessError."""
        self._device = device
        self.path = path
        _require_short(path)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            self._listening.bind(str(path))
            self._listening.listen()
            self._inode = path.stat().st_ino
        except OSError as error:
            self._listening.close()
            raise ProcessError(
                f"the simulated device can't be controlled through {path} ({error.strerror})",
                fix=f"name a path in an existing folder in {SOCKET}",
            ) from error
        self._thread = threading.Thread(target=self._serve, name="compute-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more. May be called twice."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT_S)
        # A later device of this process may have taken the path over.
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(TIMEOUT_S)
                try:
                    line = _line(connection)
                    connection.sendall(msgspec.json.encode(self._answer(line)) + b"\n")
                except OSError as error:
                    log.warning("control_failed", error=str(error))

    def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return Answer(error=f"the request can't be read: {error}")
        match request:
            case Reset(for_s=seconds):
                if seconds is not None and not 0 < seconds < 1e6:
                    return Answer(error=f"a reset can't take {seconds} s")
                self._device.reset(seconds)
            case Ambient(celsius=celsius):
                if not -MOST_C <= celsius <= MOST_C:
                    return Answer(error=f"the air can't have {celsius} °C")
                self._device.ambient(celsius)
            case StateRequest():
                pass
        return Answer(self._device.state)


class ComputeRemote:
    """The other end: each call is a connection of its own, so devices may come and go.

    Every method raises ProcessError where no device answers or it refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _require_short(path)

    def state(self) -> ComputeState:
        return self._ask(StateRequest())

    def reset(self, for_s: float | None = None) -> ComputeState:
        """Reset the driver; None: for as long as the profile says."""
        return self._ask(Reset(for_s))

    def ambient(self, celsius: float) -> ComputeState:
        """Change the temperature of the air, °C."""
        return self._ask(Ambient(celsius))

    def _ask(self, request: Request) -> ComputeState:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(str(self._path))
                connection.sendall(msgspec.json.encode(request) + b"\n")
                answer = msgspec.json.decode(_line(connection), type=Answer)
        except (OSError, msgspec.DecodeError) as error:
            raise ProcessError(
                f"no simulated device answers at {self._path} ({error})",
                fix=f"start the agent with runtime `simulated` and {SOCKET} set to this path",
            ) from error
        if answer.state is None:
            raise ProcessError(
                f"the simulated device refuses: {answer.error}", fix="correct the request"
            )
        return answer.state


def _line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n") and len(found) < LINE_BYTES:
        more = connection.recv(LINE_BYTES)
        if not more:
            break
        found += more
    return found


def _require_short(path: Path) -> None:
    """Raises SplitsightError for a path that no socket can have."""
    if len(str(path).encode()) > PATH_BYTES:
        raise SplitsightError(
            f"{path} is too long for a socket's path", fix=f"use at most {PATH_BYTES} B"
        )
