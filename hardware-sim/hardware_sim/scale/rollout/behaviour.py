"""How a simulated model behaves: what the simulator was told of it, never what the product thinks.

A part's finding is drawn by its number, so that two models that look at one part agree.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Literal, get_args

from hardware_sim.scale.recording import RecordedFindings
from shared.contracts import Decision, Finding, Frame

Behaviour = Literal["good", "crashing", "slow", "blind"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
# Longer than a part may take from trigger to verdict.
SLOW_S = 0.6
CRASHES_AFTER = 5
BLIND_SCORE = 0.02


class ProcessDied(BaseException):
    """The device's process is gone. No `except Exception` of the product may hear of it."""


class BehavingHead:
    """The head of one model in one process of one device.

    lives   parts that it looks at as the live model before a crashing one takes the process along;
            what it looks at in a shadow run is counted apart
    """

    def __init__(self, findings: RecordedFindings, behaviour: Behaviour, lives: int) -> None:
        self._findings = findings
        self._behaviour = behaviour
        self._lives = lives
        self._pause = threading.Event()
        self.live = False

    def look(self, frame: Frame) -> Finding:
        found = self._findings.of(frame.part)
        match self._behaviour:
            case "slow":
                self._pause.wait(SLOW_S)
            case "blind":
                return replace(found, decision=Decision.PASS, score=BLIND_SCORE)
            case "crashing" if self.live:
                self._lives -= 1
                if self._lives < 0:
                    raise ProcessDied
            case _:
                pass
        return found
