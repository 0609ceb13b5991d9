"""Looking at a simulated device, and acting on it, from another process."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

import msgspec

from hardware_sim.compute.device import ComputeState, SimulatedDevice
from hardware_sim.processes.unix_socket import (
    RequestRefused,
    SocketClient,
    SocketMessage,
    SocketServer,
)
from shared.errors import SettingsError

SOCKET = "SPLITSIGHT_COMPUTE_SOCKET"
MOST_C = 200.0


class StateRequest(SocketMessage, frozen=True):
    """How is it?"""


class Reset(SocketMessage, frozen=True):
    """Reset the driver, for as long as the profile says or so many seconds."""

    for_s: float | None = None


class Ambient(SocketMessage, frozen=True):
    """The air has this temperature now."""

    celsius: float


Request = StateRequest | Reset | Ambient
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[ComputeState | RequestRefused] = msgspec.msgpack.Decoder(
    ComputeState | RequestRefused
)


class ControlServer:
    """Serves one device on a socket's path; every reply is its state then."""

    def __init__(self, device: SimulatedDevice, path: Path) -> None:
        """Listen, instead of an earlier device of this process. Raises ProcessError."""
        self._device = device
        self._server = SocketServer(path, _requests, self._answer, setting=SOCKET, takes_over=True)

    def close(self) -> None:
        """Serve no more. May be called twice."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, request: Request, _: socket.socket) -> ComputeState:
        match request:
            case Reset(for_s=seconds):
                if seconds is not None and not 0 < seconds < 1e6:
                    raise SettingsError(f"a reset can't take {seconds} s")
                self._device.reset(seconds)
            case Ambient(celsius=celsius):
                if not -MOST_C <= celsius <= MOST_C:
                    raise SettingsError(f"the air can't have {celsius} °C")
                self._device.ambient(celsius)
            case StateRequest():
                pass
        return self._device.state


class ComputeRemote:
    """The other end; devices may come and go.

    Every method raises ProcessError where no device answers, SettingsError where it refuses.
    """

    def __init__(self, path: Path) -> None:
        fix = f"start the agent with runtime `simulated` and {SOCKET} set to this path"
        self._client = SocketClient(path, _replies, server="the simulated device", fix=fix)

    def state(self) -> ComputeState:
        return self._client.ask(StateRequest(), ComputeState)

    def reset(self, for_s: float | None = None) -> ComputeState:
        """Reset the driver; None: for as long as the profile says."""
        return self._client.ask(Reset(for_s), ComputeState)

    def ambient(self, celsius: float) -> ComputeState:
        """Change the temperature of the air, °C."""
        return self._client.ask(Ambient(celsius), ComputeState)
