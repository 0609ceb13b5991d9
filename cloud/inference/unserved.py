"""Pairs whose escalations come and that no worker serves."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from shared.clock import Clock
from shared.inspection import storable_text
from shared.log import get_logger

log = get_logger("intake")

TOLD_S = 60.0
MOST = 32


@dataclass(slots=True)
class _Unserved:
    device: str
    parts: int
    last: float


class UnservedPairs:
    """What came in the last TOLD_S, by pair: logged once, then counted. For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Unserved] = {}

    def came(self, pair: str, device: str, served: Sequence[str]) -> None:
        """An escalation of `pair` came from `device`, and nobody can answer it."""
        now, named = self._clock.monotonic(), storable_text(pair, 64)
        with self._lock:
            self._forget(now)
            known = self._kept.get(named)
            if known is not None:
                known.parts, known.last = known.parts + 1, now
                return
            if len(self._kept) >= MOST:
                return
            self._kept[named] = _Unserved(device, 1, now)
        log.warning(
            "unknown_pair",
            device=device,
            pair=named,
            served=list(served),
            fix="add the bundle that this device runs to `bundles`; until then it decides by "
            "itself",
        )

    @property
    def problems(self) -> list[str]:
        """One sentence each, for people."""
        with self._lock:
            self._forget(self._clock.monotonic())
            return [
                f"{one.parts} escalations of pair {pair} came, the first from {one.device}, and no "
                "worker serves its tail: devices decide these parts by themselves. Add the bundle "
                "to `bundles`."
                for pair, one in self._kept.items()
            ]

    def _forget(self, now: float) -> None:
        self._kept = {pair: one for pair, one in self._kept.items() if now - one.last < TOLD_S}
