"""The knobs of a line that runs in another process: for scenarios, and for tests."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from hardware_sim.camera.faults import Effect
from hardware_sim.line.messages import (
    Actuate,
    Burst,
    ChangeSpeed,
    ClearEffect,
    CommandDone,
    CommandRefused,
    FromLine,
    LineState,
    SetEffect,
    StateQuery,
    ToLine,
    from_line,
    receive,
    send,
)
from shared.contracts import Verdict
from shared.errors import ProcessError, SettingsError, WireError

TIMEOUT_S = 5.0


class LineControl:
    """One connection; each call waits for the line's answer.

    Raises ProcessError where the line is away or silent, SettingsError for what it refuses.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stream.settimeout(timeout_s)
        try:
            self._stream.connect(str(path))
        except OSError as error:
            self._stream.close()
            raise self._away(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        answer = self._ask(StateQuery())
        if not isinstance(answer, LineState):
            raise self._away(f"it answered with {type(answer).__name__}")
        return answer

    def close(self) -> None:
        self._stream.close()

    def _do(self, message: ToLine) -> None:
        answer = self._ask(message)
        if not isinstance(answer, CommandDone):
            raise self._away(f"it answered with {type(answer).__name__}")

    def _ask(self, message: ToLine) -> FromLine:
        try:
            send(self._stream, message)
            heard = receive(self._stream, from_line)
        except (OSError, WireError) as error:
            raise self._away(error) from error
        if heard is None:
            raise self._away("it has ended")
        if isinstance(heard[0], CommandRefused):
            raise SettingsError(heard[0].message, fix=heard[0].fix)
        return heard[0]

    def _away(self, why: object) -> ProcessError:
        return ProcessError(
            f"the line at {self._path} does not answer ({why})",
            fix="check that `splitsight sim line --socket` runs with this path",
        )
