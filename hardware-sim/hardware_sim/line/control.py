"""The knobs of a line that runs in another process: for scenarios, and for tests."""

from __future__ import annotations

from pathlib import Path

from hardware_sim.camera.faults import Effect
from hardware_sim.line.messages import (
    Actuate,
    Burst,
    ChangeSpeed,
    ClearEffect,
    CommandDone,
    LineState,
    SetEffect,
    StateQuery,
    ToLine,
    from_line,
)
from hardware_sim.processes.unix_socket import SocketClient
from shared.contracts import Verdict


class LineControl:
    """Each call waits for the line's answer.

    Raises ProcessError where the line is away or silent, SettingsError for what it refuses.
    """

    def __init__(self, path: Path) -> None:
        fix = "check that `splitsight sim line --socket` runs with this path"
        self._client = SocketClient(path, from_line, server="the line", fix=fix)

    def set(self, effect: Effect) -> None:
        """Switch an effect on, or change the one of its kind."""
        self._do(SetEffect(effect.model_dump()))

    def clear(self, kind: str | None = None) -> None:
        """Switch one kind of effect off, or all."""
        self._do(ClearEffect(kind))

    def burst(self, parts: int, rate: float = 1.0) -> None:
        """Of the next parts to be drawn, the share `rate` is defective."""
        self._do(Burst(parts, rate))

    def change_speed(self, speed: float) -> None:
        """Run the belt at another speed, m/s."""
        self._do(ChangeSpeed(speed))

    def actuate(self, part: int, verdict: Verdict, in_ms: float = 0.0) -> None:
        """Tell the ejector, as an actuator would."""
        self._do(Actuate(part, verdict, in_ms))

    def state(self) -> LineState:
        """How the line is, with its truth table so far."""
        return self._client.ask(StateQuery(), LineState)

    def _do(self, message: ToLine) -> None:
        self._client.ask(message, CommandDone)
