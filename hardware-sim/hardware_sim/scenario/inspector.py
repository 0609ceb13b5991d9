"""An inspector at the dashboard: looks at doubtful parts after a while, and sometimes errs."""

from __future__ import annotations

import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Protocol

import msgspec
from pydantic import Field

from hardware_sim.processes.cloud import ServedCloud
from shared.clock import Clock
from shared.contracts import PlainVerdict
from shared.log import get_logger
from shared.settings import Settings

log = get_logger("operator")

AT_ONCE = 100


class OperatorSettings(Settings):
    """How an operator works."""

    name: str = Field(default="operator", min_length=1, max_length=63)
    delay_s: float = Field(default=5.0, ge=0, le=86_400, description="from seeing a part to a word")
    error_rate: float = Field(default=0.02, ge=0, le=1, description="share of wrong words")
    audits: float = Field(
        default=0.0, ge=0, le=1, description="share of the parts that boxes were sure of, too"
    )
    seed: int = Field(default=0, ge=0)


class Doubtful(msgspec.Struct, frozen=True):
    """An inspection that waits for a review, as the cloud's API lists it.

    source   where its picture comes from; None until the box has said so
    """

    device: str
    boot: str
    sequence: int
    part: int
    source: str | None = None


class Desk(Protocol):
    """Where an operator finds work and leaves words."""

    def waiting(self, *, doubtful: bool = True) -> list[Doubtful]:
        """Parts that nobody has reviewed, the newest: doubtful ones, or those that boxes were sure
        of. Raises OSError where nobody answers.
        """

    def review(self, doubtful: Doubtful, verdict: PlainVerdict, inspector: str) -> None:
        """Say what a part was. Raises OSError where that is not taken."""


# Whether a part is defective; None: nobody knows.
Truth = Callable[[Doubtful], bool | None]


class SimulatedInspector:
    """Looks at every doubtful part once, `delay_s` after it was first seen waiting; and at some of
    the others, as an inspector downstream would.
    """

    def __init__(self, desk: Desk, truth: Truth, settings: OperatorSettings, clock: Clock) -> None:
        self._desk = desk
        self._truth = truth
        self._settings = settings
        self._clock = clock
        self._seen: dict[Doubtful, float] = {}
        self.reviewed = 0
        self.wrong = 0

    def step(self) -> None:
        """See what waits and say what is due. Call about once a second."""
        now = self._clock.monotonic()
        try:
            waiting = self._desk.waiting() + self._audited()
        except OSError as error:
            log.warning("reviews_unreachable", error=str(error))
            return
        self._seen = {one: self._seen.get(one, now) for one in waiting}
        for one, since in self._seen.items():
            if now - since >= self._settings.delay_s:
                self._say(one)

    def _audited(self) -> list[Doubtful]:
        share = self._settings.audits
        if not share:
            return []
        return [
            one for one in self._desk.waiting(doubtful=False) if self._draw("audit", one) < share
        ]

    def _draw(self, what: str, one: Doubtful) -> float:
        """By the part, so that the same run does the same whatever the network does."""
        return random.Random(f"{what}{self._settings.seed} {one.device} {one.part}").random()  # noqa: S311

    def _say(self, one: Doubtful) -> None:
        defective = self._truth(one)
        if defective is None:
            return
        errs = self._draw("", one) < self._settings.error_rate
        try:
            verdict: PlainVerdict = "reject" if defective != errs else "pass"
            self._desk.review(one, verdict, self._settings.name)
        except OSError as error:
            log.warning("review_not_taken", part=one.part, error=str(error))
            return
        self.reviewed += 1
        self.wrong += errs


class HttpDesk:
    """The pages where inspectors work, by the cloud's API."""

    def __init__(self, api: ServedCloud) -> None:
        self._api = api

    def waiting(self, *, doubtful: bool = True) -> list[Doubtful]:
        query = urllib.parse.urlencode({"doubtful": doubtful, "reviewed": False, "limit": AT_ONCE})
        answer = self._api.call("GET", f"/api/v1/inspections?{query}")
        return msgspec.convert(answer["inspections"], list[Doubtful])

    def review(self, doubtful: Doubtful, verdict: PlainVerdict, inspector: str) -> None:
        path = f"/api/v1/inspections/{doubtful.device}/{doubtful.boot}/{doubtful.sequence}/review"
        self._api.call("PUT", path, {"verdict": verdict, "inspector": inspector})
