"""An actuator that only writes a log line: for trials without hardware."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.actuator.base import ActuatorKind
from shared.clock import Clock
from shared.contracts import Verdict
from shared.log import get_logger
from shared.settings import Settings

log = get_logger("actuator")


class LogActuatorSettings(Settings):
    """Write verdicts to the log; move nothing."""

    kind: Literal["log"] = "log"
    passes: bool = Field(default=False, description="log passed parts too, not only diverted ones")


class LogActuator:
    """Logs `part_rejected`, `part_reviewed`, and `part_passed` where that is wanted."""

    takes_review = True

    def __init__(self, settings: LogActuatorSettings) -> None:
        self._passes = settings.passes

    def start(self) -> None:
        """Nothing to connect."""

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
        if verdict == "reject":
            log.info("part_rejected", part=part, at=round(at, 3))
        elif verdict == "review":
            log.info("part_reviewed", part=part, at=round(at, 3))
        elif self._passes:
            log.info("part_passed", part=part, at=round(at, 3))

    def stop(self) -> None:
        """Nothing to let go of."""


def _open(settings: LogActuatorSettings, _clock: Clock) -> LogActuator:
    return LogActuator(settings)


KIND = ActuatorKind("log", LogActuatorSettings, _open)
