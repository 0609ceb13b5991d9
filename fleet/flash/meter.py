"""Progress of a card for people, as bars, and for programs, as one line of JSON after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import msgspec
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from fleet.flash.flasher import Report, Step
from shared.clock import Clock
from shared.console import err

EVERY_S = 0.5
WORDS: dict[Step, str] = {
    "check": "checking the image",
    "erase": "making the card safe to write",
    "write": "writing",
    "verify": "reading back",
    "finish": "making it bootable",
}


class Meter(Protocol):
    """Shows reports as they come."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def report(self, report: Report) -> None:
        """Called often."""


class Bars:
    """On standard error; silent where nobody watches."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<30}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._tasks: dict[Step, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, report: Report) -> None:
        if report.step not in self._tasks:
            self._tasks[report.step] = self._progress.add_task(WORDS[report.step])
        self._progress.update(self._tasks[report.step], completed=report.done, total=report.total)


class Lines:
    """One JSON object a line: step, done, total, mb_per_s, left_s."""

    def __init__(self, clock: Clock, show: Callable[[str], None]) -> None:
        self._clock = clock
        self._show = show
        self._started: dict[Step, tuple[float, int]] = {}
        self._shown_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def report(self, report: Report) -> None:
        now = self._clock.monotonic()
        fresh = report.step not in self._started
        since, first = self._started.setdefault(report.step, (now, report.done))
        if not fresh and report.done < report.total and now - self._shown_at < EVERY_S:
            return
        self._shown_at = now
        rate = (report.done - first) / (now - since) if now > since else 0.0
        row = {
            "step": report.step,
            "done": report.done,
            "total": report.total,
            "mb_per_s": round(rate / 1e6, 2),
            "left_s": round((report.total - report.done) / rate, 1) if rate else None,
        }
        self._show(msgspec.json.encode(row).decode())
